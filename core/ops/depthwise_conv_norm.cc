#include <cstring>

#include "core/ops/bands.h"
#include "core/ops/depthwise_conv.h"
#include "core/ops/depthwise_kernels.h"
#include "core/ops/norm_kernels.h"

namespace trireme::ops {
namespace {

struct Rows {
  int64_t begin, end;
};

// The rows of each image of the output, in bands. Rows that lie outside of an image are zeros.
struct BandCut {
  // So many that what a band reads fits into `floats`.
  BandCut(const ConvShape& s, int64_t floats) : shape(s) {
    const int64_t rows = floats / FloatsOfLineRows(s.in_width + 2 * margin(), s.in_channels);
    const int64_t most = std::max<int64_t>(1, (rows - s.kernel_height) / s.stride + 1);
    bands = (s.out_height + most - 1) / most;
    height = (s.out_height + bands - 1) / bands;
    bands = (s.out_height + height - 1) / height;
  }

  // Columns of zeros beside what a band reads, so that no tap reads past a row's ends.
  int64_t margin() const { return std::max(shape.padding, shape.kernel_width - 1 - shape.padding); }
  int64_t units() const { return shape.batch * bands; }
  // The band's own rows of the output.
  Rows Output(int64_t band) const { return {band * height, std::min(shape.out_height, (band + 1) * height)}; }
  // What they read.
  Rows Read(int64_t band) const {
    const Rows out = Output(band);
    return {out.begin * shape.stride - shape.padding,
            (out.end - 1) * shape.stride - shape.padding + shape.kernel_height};
  }
  // The band's own rows of the input.
  Rows Input(int64_t band) const {
    const Rows out = Output(band);
    return {std::min(shape.in_height, out.begin * shape.stride),
            band == bands - 1 ? shape.in_height : std::min(shape.in_height, out.end * shape.stride)};
  }
  // All rows of the output that read one of those, and the band's own.
  Rows Reached(int64_t band) const {
    const Rows in = Input(band), out = Output(band);
    return {std::min(out.begin, FloorOf(in.begin + shape.padding - shape.kernel_height + 1)),
            std::max(out.end, FloorOf(in.end - 1 + shape.padding) + 1)};
  }
  int64_t MostRows(Rows (BandCut::*of)(int64_t) const) const {
    int64_t most = 0;
    for (int64_t band = 0; band < bands; ++band) most = std::max(most, (this->*of)(band).end - (this->*of)(band).begin);
    return most;
  }

  ConvShape shape;
  int64_t bands, height;

 private:
  int64_t FloorOf(int64_t place) const { return (place - (place < 0 ? shape.stride - 1 : 0)) / shape.stride; }
};

// Rows of an image with their margins, laid out as LineRows of all their places.
struct Band {
  int64_t height, width, channels, margin;
  int64_t most_rows;  // that are filled at a time

  int64_t places() const { return width + 2 * margin; }
  int64_t RowStep() const { return places() * kLineLanes; }
  RowLayout Layout() const { return LineRows(most_rows * places()); }
  int64_t floats() const { return FloatsOfLineRows(most_rows * places(), channels); }

  // Calls write(row, to) for those of `rows` that the image has, which puts a row's places there, and fills in the
  // zeros around them. Returns where row 0, column 0 would lie.
  template <class Write>
  const float* Fill(const Rows& rows, float* scratch, const Write& write) const {
    float* to = scratch;
    for (int64_t row = rows.begin; row < rows.end; ++row, to += RowStep()) {
      if (row < 0 || row >= height) {
        ZeroPlaces(to, 0, places());
        continue;
      }
      ZeroPlaces(to, 0, margin);
      write(row, to + margin * kLineLanes);
      ZeroPlaces(to, margin + width, places());
    }
    return scratch - rows.begin * RowStep() + margin * kLineLanes;
  }

 private:
  void ZeroPlaces(float* row, int64_t begin, int64_t end) const {
    static constexpr float kZeros[kLineLanes] = {};
    for (int64_t c = 0; c < channels; c += kLineLanes) {
      float* line = row + Layout().Of(c);
      // std::fill would call memset for every line of a few places.
      for (int64_t place = begin; place < end; ++place) std::memcpy(line + place * kLineLanes, kZeros, sizeof kZeros);
    }
  }
};

// Along one side of the maps, the places of a result that are `step` apart, from `phase` on. The j-th of them reads the
// source's places j up + base, .., + taps - 1, through taps `first`, first + tap_step, ...
struct AxisTaps {
  int64_t phase, step, up, base;
  int64_t taps, first, tap_step;

  int64_t Begin(int64_t place) const { return place > phase ? (place - phase + step - 1) / step : 0; }
};

AxisTaps Forwards(int64_t kernel, const ConvShape& s) { return {0, 1, s.stride, -s.padding, kernel, 0, 1}; }

// Place d of the input is read by places (d + padding - tap) / stride of the output, where that is whole.
AxisTaps Backwards(int64_t kernel, const ConvShape& s, int64_t phase) {
  const int64_t least = (phase + s.padding) % s.stride, taps = (kernel - least + s.stride - 1) / s.stride;
  const int64_t last = least + (taps - 1) * s.stride;
  return {phase, s.stride, 1, (phase + s.padding - last) / s.stride, taps, last, -s.stride};
}

// The places of a result that one set of filters [rows.taps, columns.taps, channels] makes.
struct Gather {
  AxisTaps rows, columns;
  const float* filters;
};

struct Gathers {
  std::vector<Gather> of;  // together all places
  Tensor filters;
};

Gathers MakeGathers(const ConvShape& s, const Tensor& weight, bool forwards, Stream& stream) {
  const int64_t channels = s.groups, kernel = s.kernel_width;
  Gathers made;
  const Tensor all = TransposedFilters(s, weight, stream);
  made.filters = Tensor::Empty(stream.device(), all.shape());
  float* to = made.filters.data<float>();
  const int64_t phases = forwards ? 1 : s.stride;
  for (int64_t phase = 0; phase < phases * phases; ++phase) {
    Gather gather{};
    gather.rows = forwards ? Forwards(s.kernel_height, s) : Backwards(s.kernel_height, s, phase / phases);
    gather.columns = forwards ? Forwards(kernel, s) : Backwards(kernel, s, phase % phases);
    gather.filters = to;
    made.of.push_back(gather);
    const float* from = all.data<float>();
    const AxisTaps rows = gather.rows, columns = gather.columns;
    HostParallelFor(stream, rows.taps * columns.taps, [=](int64_t i) {
      const int64_t row = rows.first + i / columns.taps * rows.tap_step;
      const int64_t column = columns.first + i % columns.taps * columns.tap_step;
      const float* tap = from + (row * kernel + column) * channels;
      std::copy(tap, tap + channels, to + i * channels);
    });
    to += rows.taps * columns.taps * channels;
  }
  return made;
}

// Of one image of a result [height, width, channels], which begins at `to`: rows [begin, end). `from` is where row 0,
// column 0 of the source would lie. Adds to the sums of the results above the first of them, and of the squares of
// that, unless they are null: of a single gather only.
void RunGathers(const std::vector<Gather>& gathers, const float* from, const Band& band, const Rows& rows,
                int64_t width, float* to, double* sums) {
  const int64_t channels = band.channels;
  for (const Gather& gather : gathers) {
    const AxisTaps &down = gather.rows, &across = gather.columns;
    const int64_t first = down.Begin(rows.begin);
    GatherRows g{};
    g.from = from + (first * down.up + down.base) * band.RowStep() + across.base * kLineLanes;
    g.from_line = band.Layout().line;
    g.from_row = band.RowStep();
    g.from_next = down.up * band.RowStep();
    g.filters = gather.filters;
    g.filter_rows = down.taps;
    g.taps = across.taps;
    g.up = across.up;
    g.channels = channels;
    g.rows = down.Begin(rows.end) - first;
    g.places = across.Begin(width);
    g.to = to + ((down.phase + first * down.step) * width + across.phase) * channels;
    g.to_row = down.step * width * channels;
    g.to_place = across.step * channels;
    g.sums = sums;
    g.base = g.to;
    WidestDepthwiseKernels().gather(g);
  }
}

// Adds to the sums [taps, channels] over rows of the output. `input` and `gradient` are where row 0, column 0 lies.
void AddFilterGradient(const ConvShape& s, const float* input, const Band& read, const float* gradient,
                       const Band& reached, const Rows& rows, double* sums) {
  FilterGradient f{};
  f.input = input + (rows.begin * s.stride - s.padding) * read.RowStep() - s.padding * kLineLanes;
  f.input_line = read.Layout().line;
  f.input_row = read.RowStep();
  f.gradient = gradient + rows.begin * reached.RowStep();
  f.gradient_line = reached.Layout().line;
  f.gradient_row = reached.RowStep();
  f.rows = rows.end - rows.begin;
  f.places = s.out_width;
  f.kernel = s.kernel_width;
  f.stride = s.stride;
  f.channels = s.groups;
  f.sums = sums;
  WidestDepthwiseKernels().add_filter_gradient(f);
}

// Fills the band with rows of an image of the source, as the convolution reads them.
const float* ReadBand(const Band& band, const ConvSource& source, int64_t image, const Rows& rows, float* scratch) {
  return band.Fill(rows, scratch, [&](int64_t row, float* to) {
    const int64_t place = (image * band.height + row) * band.width;
    WidestNormKernels().read(source, nullptr, band.channels, place, place + band.width, to, band.Layout());
  });
}

Tensor Forward(const ConvShape& s, const ConvSource& source, const Tensor& weight, bool wants_sums, const Tensor& to,
               Stream& stream) {
  const int64_t channels = s.groups;
  const BandCut cut(s, 160 * 1024);
  const Band read{s.in_height, s.in_width, channels, cut.margin(), cut.MostRows(&BandCut::Read)};
  Tensor partial;
  if (wants_sums) partial = Tensor::Zeros(stream.device(), {cut.units(), 2 * channels}, DataType::kFloat64);
  double* sums = wants_sums ? partial.data<double>() : nullptr;
  const Gathers gathers = MakeGathers(s, weight, /*forwards=*/true, stream);
  float* out = to.data<float>();
  ForUnits(stream, cut.units(), read.floats(), [=](int64_t unit, float* scratch) {
    const int64_t image = unit / cut.bands, band = unit % cut.bands;
    const Rows rows = cut.Output(band);
    float* image_out = out + image * s.out_height * s.out_width * channels;
    double* of_unit = sums == nullptr ? nullptr : sums + unit * 2 * channels;
    RunGathers(gathers.of, ReadBand(read, source, image, cut.Read(band), scratch), read, rows, s.out_width, image_out,
               of_unit);
    if (of_unit == nullptr) return;
    MoveBase(image_out + rows.begin * s.out_width * channels, (rows.end - rows.begin) * s.out_width, channels, of_unit);
  });
  return wants_sums ? TotalOfUnits(stream, partial, cut.units(), channels) : Tensor();
}

Tensor Backward(const ConvShape& s, const ConvSource& source, const Var& weight, const ConvGradient& gradient,
                const Tensor& source_gradient, Stream& stream) {
  const int64_t channels = s.groups, width = s.kernel_height * s.kernel_width * channels;
  const BandCut cut(s, 96 * 1024);
  const Band read{s.in_height, s.in_width, channels, cut.margin(), cut.MostRows(&BandCut::Read)};
  const Band reached{s.out_height, s.out_width, channels, cut.margin(), cut.MostRows(&BandCut::Reached)};
  const bool wants_moments = source.mean != nullptr && source_gradient.defined();
  Tensor filter_partial, moment_partial;
  if (weight.requires_gradient()) {
    filter_partial = Tensor::Zeros(stream.device(), {cut.units(), width}, DataType::kFloat64);
  }
  if (wants_moments) moment_partial = Tensor::Zeros(stream.device(), {cut.units(), 2 * channels}, DataType::kFloat64);
  double* filter_sums = filter_partial.defined() ? filter_partial.data<double>() : nullptr;
  double* moments = wants_moments ? moment_partial.data<double>() : nullptr;
  float* down = source_gradient.defined() ? source_gradient.data<float>() : nullptr;
  const Gathers gathers = MakeGathers(s, weight.value(), /*forwards=*/false, stream);
  ForUnits(stream, cut.units(), reached.floats() + read.floats(), [=](int64_t unit, float* scratch) {
    const int64_t image = unit / cut.bands, band = unit % cut.bands;
    const float* of_output = reached.Fill(cut.Reached(band), scratch, [&](int64_t row, float* to) {
      const int64_t place = (image * s.out_height + row) * s.out_width;
      WidestNormKernels().write_gradient(gradient, channels, place, place + s.out_width, to, reached.Layout());
    });
    if (filter_sums != nullptr) {
      const float* input = ReadBand(read, source, image, cut.Read(band), scratch + reached.floats());
      AddFilterGradient(s, input, read, of_output, reached, cut.Output(band), filter_sums + unit * width);
    }
    if (down == nullptr) return;
    const Rows input = cut.Input(band);
    RunGathers(gathers.of, of_output, reached, input, s.in_width, down + image * s.in_height * s.in_width * channels,
               nullptr);
    if (moments == nullptr) return;
    const int64_t first = image * s.in_height;
    WidestNormKernels().add_gradient_moments(source, down, ImageScale(), channels, (first + input.begin) * s.in_width,
                                             (first + input.end) * s.in_width, moments + unit * 2 * channels);
  });
  if (filter_partial.defined()) {
    bool accumulate = false;
    const Tensor to = weight.GradientTarget(&accumulate);
    FiltersFromSums(s, filter_partial, accumulate, to, stream);
  }
  return wants_moments ? TotalOfUnits(stream, moment_partial, cut.units(), channels) : Tensor();
}

}  // namespace

const ConvNormPasses kDepthwiseConvNorm = {Forward, Backward};

}  // namespace trireme::ops
