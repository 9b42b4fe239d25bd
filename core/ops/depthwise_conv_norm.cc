#include "core/ops/bands.h"
#include "core/ops/depthwise_bodies.h"
#include "core/ops/depthwise_conv.h"

namespace trireme::ops {
namespace {

struct Rows {
  int64_t begin, end;
};

// The rows of each image of the output, in bands.
struct BandCut {
  // So many that what a band reads fits into `floats`.
  BandCut(const ConvShape& s, int64_t floats) : shape(s) {
    const int64_t rows = floats / ((s.in_width + 2 * margin()) * s.in_channels);
    const int64_t most = std::max<int64_t>(1, (rows - reach()) / s.stride + 1);
    bands = (s.out_height + most - 1) / most;
    height = (s.out_height + bands - 1) / bands;
    bands = (s.out_height + height - 1) / height;
  }

  int64_t reach() const { return (shape.kernel_height - 1) * shape.dilation + 1; }
  // Columns of zeros beside what a band reads, so that no tap reads past a row's ends.
  int64_t margin() const { return std::max(shape.padding, (shape.kernel_width - 1) * shape.dilation - shape.padding); }
  int64_t units() const { return shape.batch * bands; }
  // The band's own rows of the output.
  Rows Output(int64_t band) const { return {band * height, std::min(shape.out_height, (band + 1) * height)}; }
  // What they read.
  Rows Read(int64_t band) const {
    const Rows out = Output(band);
    const int64_t begin = out.begin * shape.stride - shape.padding;
    return {std::max<int64_t>(0, begin),
            std::min(shape.in_height, (out.end - 1) * shape.stride - shape.padding + reach())};
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
    const int64_t first = in.begin + shape.padding - (reach() - 1);
    const int64_t begin = first > 0 ? (first + shape.stride - 1) / shape.stride : 0;
    return {std::min(begin, out.begin),
            std::max(out.end, std::min(shape.out_height, (in.end - 1 + shape.padding) / shape.stride + 1))};
  }
  int64_t MostRows(Rows (BandCut::*of)(int64_t) const) const {
    int64_t most = 0;
    for (int64_t band = 0; band < bands; ++band) most = std::max(most, (this->*of)(band).end - (this->*of)(band).begin);
    return most;
  }

  ConvShape shape;
  int64_t bands, height;
};

// Calls write(row, to) for rows [begin, end), which puts one of `width` floats there, and zeros beside it.
template <class Write>
void WriteWithMargins(const Rows& rows, int64_t width, int64_t margin, float* scratch, const Write& write) {
  for (int64_t row = rows.begin; row < rows.end; ++row, scratch += width + 2 * margin) {
    std::fill(scratch, scratch + margin, 0.0f);
    write(row, scratch + margin);
    std::fill(scratch + margin + width, scratch + 2 * margin + width, 0.0f);
  }
}

Gather<float> GatherRows(const ConvShape& s, const Axis& axis, const float* filters, int64_t margin, bool forward) {
  Gather<float> gather{};
  gather.margin = margin;
  gather.weight = filters;
  gather.from_height = forward ? s.in_height : s.out_height;
  gather.from_width = forward ? s.in_width : s.out_width;
  gather.to_height = forward ? s.out_height : s.in_height;
  gather.to_width = forward ? s.out_width : s.in_width;
  gather.channels = s.groups;
  gather.axis = axis;
  gather.kernel_height = static_cast<int>(s.kernel_height);
  gather.kernel_width = static_cast<int>(s.kernel_width);
  gather.strip = std::max<int64_t>(1, (gather.to_width + axis.down - 1) / axis.down);
  gather.strips = 1;
  return gather;
}

// Of one image, which begins at `from` and `to`: rows [begin, end).
void RunGather(Gather<float> gather, const float* from, float* to, const Rows& rows) {
  gather.from = from;
  gather.to = to;
  RunTiles(gather, rows.begin * gather.axis.down, rows.end * gather.axis.down, gather.channels);
}

template <int kTaps>
void AddFilters(const ConvShape& s, const float* input, int64_t in_margin, const float* output_gradient,
                int64_t out_margin, const Rows& rows, double* sums) {
  const FilterSums<float, kTaps> body{input,
                                      output_gradient,
                                      sums,
                                      s.in_height,
                                      s.in_width,
                                      s.out_height,
                                      s.out_width,
                                      s.groups,
                                      rows.begin,
                                      rows.end,
                                      rows.end - rows.begin,
                                      s.stride,
                                      s.padding,
                                      s.dilation,
                                      static_cast<int>(s.kernel_height),
                                      static_cast<int>(s.kernel_width),
                                      in_margin,
                                      out_margin};
  RunTiles(body, 0, s.kernel_height * (s.kernel_width / kTaps), s.groups);
}

void AddFiltersOf(const ConvShape& s, const float* input, int64_t in_margin, const float* output_gradient,
                  int64_t out_margin, const Rows& rows, double* sums) {
  switch (s.kernel_width) {
    case 3:
      return AddFilters<3>(s, input, in_margin, output_gradient, out_margin, rows, sums);
    case 5:
      return AddFilters<5>(s, input, in_margin, output_gradient, out_margin, rows, sums);
    default:
      return AddFilters<1>(s, input, in_margin, output_gradient, out_margin, rows, sums);
  }
}

// Rows of an image of the source, as the convolution reads them.
struct ReadBand {
  ReadBand(const ConvShape& s, const ConvSource& source, int64_t margin)
      : height(s.in_height),
        width(s.in_width),
        channels(s.groups),
        source(source),
        margin(source.scale == nullptr ? 0 : margin) {}

  int64_t Stride() const { return (width + 2 * margin) * channels; }
  int64_t FloatsOf(int64_t rows) const { return source.scale == nullptr ? 0 : rows * Stride(); }
  // Where row 0 of the image would lie, of which `rows` can be read. They are in `scratch` if not in memory.
  const float* Read(int64_t image, const Rows& rows, float* scratch) const {
    if (source.scale == nullptr) return source.data + image * height * width * channels;
    WriteWithMargins(rows, width * channels, margin * channels, scratch, [&](int64_t row, float* to) {
      const int64_t place = (image * height + row) * width;
      ReadRows(source, channels, place, place + width, to);
    });
    return scratch - rows.begin * Stride();
  }

  int64_t height, width, channels;
  ConvSource source;
  int64_t margin;  // in places
};

Tensor Forward(const ConvShape& s, const ConvSource& source, const Tensor& weight, bool wants_sums, const Tensor& to,
               Stream& stream) {
  const int64_t channels = s.groups;
  const BandCut cut(s, 160 * 1024);
  const ReadBand band_of(s, source, cut.margin());
  Tensor partial;
  if (wants_sums) partial = Tensor::Zeros(stream.device(), {cut.units(), 2 * channels}, DataType::kFloat64);
  double* sums = wants_sums ? partial.data<double>() : nullptr;
  const Tensor filters = TransposedFilters(s, weight, stream);
  const Gather<float> gather = GatherRows(s, ForwardAxis(s), filters.data<float>(), band_of.margin, true);
  float* out = to.data<float>();
  const int64_t scratch_floats = band_of.FloatsOf(cut.MostRows(&BandCut::Read));
  ForUnits(stream, cut.units(), scratch_floats, [=](int64_t unit, float* scratch) {
    const int64_t image = unit / cut.bands, band = unit % cut.bands;
    const Rows rows = cut.Output(band);
    float* image_out = out + image * s.out_height * s.out_width * channels;
    RunGather(gather, band_of.Read(image, cut.Read(band), scratch), image_out, rows);
    if (sums == nullptr) return;
    SumRows<2>(Moments<float>{image_out, channels}, rows.begin * s.out_width, rows.end * s.out_width, channels,
               sums + unit * 2 * channels);
  });
  return wants_sums ? TotalOfUnits(stream, partial, cut.units(), channels) : Tensor();
}

Tensor Backward(const ConvShape& s, const ConvSource& source, const Var& weight, const ConvGradient& gradient,
                const Tensor& source_gradient, Stream& stream) {
  const int64_t channels = s.groups, width = s.kernel_height * s.kernel_width * channels;
  const BandCut cut(s, 96 * 1024);
  const ReadBand band_of(s, source, cut.margin());
  const bool wants_moments = source.mean != nullptr && source_gradient.defined();
  Tensor filter_partial, moment_partial;
  if (weight.requires_gradient()) {
    filter_partial = Tensor::Empty(stream.device(), {cut.units(), width}, DataType::kFloat64);
  }
  if (wants_moments) moment_partial = Tensor::Zeros(stream.device(), {cut.units(), 2 * channels}, DataType::kFloat64);
  double* filter_sums = filter_partial.defined() ? filter_partial.data<double>() : nullptr;
  double* moments = wants_moments ? moment_partial.data<double>() : nullptr;
  float* down = source_gradient.defined() ? source_gradient.data<float>() : nullptr;
  const Tensor filters = TransposedFilters(s, weight.value(), stream);
  const int64_t margin = cut.margin(), out_stride = (s.out_width + 2 * margin) * channels;
  const Gather<float> gather = GatherRows(s, BackwardAxis(s), filters.data<float>(), margin, false);
  const int64_t output_floats = cut.MostRows(&BandCut::Reached) * out_stride;
  const int64_t input_floats = band_of.FloatsOf(cut.MostRows(&BandCut::Read));
  ForUnits(stream, cut.units(), output_floats + input_floats, [=](int64_t unit, float* scratch) {
    const int64_t image = unit / cut.bands, band = unit % cut.bands;
    const Rows reached = cut.Reached(band), input = cut.Input(band);
    WriteWithMargins(reached, s.out_width * channels, margin * channels, scratch, [&](int64_t row, float* to) {
      const int64_t place = (image * s.out_height + row) * s.out_width;
      WriteGradient(gradient, channels, place, place + s.out_width, to);
    });
    const float* of_output = scratch - reached.begin * out_stride;
    if (filter_sums != nullptr) {
      AddFiltersOf(s, band_of.Read(image, cut.Read(band), scratch + output_floats), band_of.margin, of_output, margin,
                   cut.Output(band), filter_sums + unit * width);
    }
    if (down == nullptr) return;
    RunGather(gather, of_output, down + image * s.in_height * s.in_width * channels, input);
    if (moments == nullptr) return;
    const int64_t first = image * s.in_height;
    AddGradientMoments(source, down, channels, (first + input.begin) * s.in_width, (first + input.end) * s.in_width,
                       moments + unit * 2 * channels);
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
