#include "core/ops/bands.h"
#include "core/ops/conv_cpu.h"
#include "core/ops/gradient_sums.h"
#include "core/ops/norm_kernels.h"
#include "core/ops/product_kernels.h"

namespace trireme::ops {
namespace {

// The rows of a map, in blocks that have partial sums of their own, and those in bands that stay in the nearest cache.
struct RowCut {
  RowCut(int64_t rows, int64_t inputs, int64_t outputs) : rows(rows) {
    constexpr int64_t kBandFloats = 96 * 1024;
    band = std::max<int64_t>(64, kBandFloats / (inputs + outputs) / 8 * 8);
    const int64_t bands = (rows + band - 1) / band;
    // Each block has a sum for every weight. More blocks than make a quarter of what else is moved would take longer
    // than they save, fewer than some would leave threads without work.
    const int64_t cheap = rows * (inputs + outputs) / (4 * inputs * outputs);
    const int64_t most = std::min<int64_t>(32, std::max<int64_t>(8, cheap));
    block = std::max<int64_t>(1, (bands + most - 1) / most) * band;
    blocks = (rows + block - 1) / block;
  }

  // Calls body(begin, end) for the bands of block b.
  template <class Body>
  void ForBands(int64_t b, const Body& body) const {
    const int64_t stop = std::min(rows, (b + 1) * block);
    for (int64_t begin = b * block; begin < stop; begin += band) body(begin, std::min(stop, begin + band));
  }

  // The rows of the band that begins at `row`.
  int64_t BandAfter(int64_t row) const { return std::min(band, rows - row); }

  int64_t RowsOf(int64_t b) const { return std::min(rows, (b + 1) * block) - b * block; }

  int64_t rows, band, block, blocks;
};

// The filters' gradients by block, for a last pass over them.
struct BlockFilters {
  const float* partial;
  int64_t width;

  template <int kLanes>
  void Tile(int64_t row, int64_t c, double* sums) const {
    for (int l = 0; l < kLanes; ++l) sums[l] += partial[row * width + c + l];
  }
};

// The filters [outputs, inputs], packed for products that sum over their inputs, or over their outputs.
Tensor Packed(const ConvShape& s, const Tensor& weight, bool over_outputs, Stream& stream) {
  const int64_t inputs = s.in_channels, outputs = s.out_channels;
  const ProductKernels& kernels = WidestProductKernels();
  const Tensor packed = Tensor::Empty(stream.device(), {over_outputs ? kernels.packed_floats(outputs, inputs)
                                                                     : kernels.packed_floats(inputs, outputs)});
  const float* from = weight.data<float>();
  float* to = packed.data<float>();
  EnqueueHostWork(stream, [=, &kernels] {
    if (over_outputs) {
      kernels.pack(from, 1, inputs, outputs, inputs, to);
    } else {
      kernels.pack(from, inputs, 1, inputs, outputs, to);
    }
  });
  return packed;
}

int64_t RowsOf(const ConvShape& s) { return s.batch * s.out_height * s.out_width; }

Tensor Forward(const ConvShape& s, const ConvSource& source, const Tensor& weight, bool wants_sums, const Tensor& to,
               Stream& stream) {
  const int64_t inputs = s.in_channels, outputs = s.out_channels;
  const RowCut cut(RowsOf(s), inputs, outputs);
  Tensor partial;
  if (wants_sums) partial = Tensor::Zeros(stream.device(), {cut.blocks, 2 * outputs}, DataType::kFloat64);
  double* sums = wants_sums ? partial.data<double>() : nullptr;
  const Tensor packed = Packed(s, weight, /*over_outputs=*/false, stream);
  const float* filters = packed.data<float>();
  float* out = to.data<float>();
  const bool as_it_lies = source.scale == nullptr;
  const NormKernels& kernels = WidestNormKernels();
  ForUnits(stream, cut.blocks, as_it_lies ? 0 : cut.band * inputs, [=, &kernels](int64_t block, float* scratch) {
    const float* base = out + block * cut.block * outputs;
    double* of_block = sums == nullptr ? nullptr : sums + block * 2 * outputs;
    cut.ForBands(block, [&](int64_t begin, int64_t end) {
      if (!as_it_lies) kernels.read(source, nullptr, inputs, begin, end, scratch, TensorRows(inputs));
      const float* in = as_it_lies ? source.data + begin * inputs : scratch;
      const NextRead next = {source.data + end * inputs, cut.BandAfter(end) * inputs};
      WidestProductKernels().multiply(
          {in, filters, out + begin * outputs, end - begin, inputs, outputs, {next, {}, {}}});
      if (of_block != nullptr) kernels.add_moments(out, base, outputs, begin, end, of_block);
    });
    if (of_block != nullptr) MoveBase(base, cut.RowsOf(block), outputs, of_block);
  });
  return wants_sums ? TotalOfUnits(stream, partial, cut.blocks, outputs) : Tensor();
}

Tensor Backward(const ConvShape& s, const ConvSource& source, const Var& weight, const ConvGradient& gradient,
                const Tensor& source_gradient, Stream& stream) {
  const int64_t inputs = s.in_channels, outputs = s.out_channels, width = inputs * outputs;
  const RowCut cut(RowsOf(s), inputs, outputs);
  const bool as_it_lies = source.scale == nullptr, wants_moments = source.mean != nullptr && source_gradient.defined();
  Tensor filter_partial, moment_partial;
  if (weight.requires_gradient()) filter_partial = Tensor::Empty(stream.device(), {cut.blocks, width});
  if (wants_moments) moment_partial = Tensor::Zeros(stream.device(), {cut.blocks, 2 * inputs}, DataType::kFloat64);
  const Tensor packed = source_gradient.defined() ? Packed(s, weight.value(), /*over_outputs=*/true, stream) : Tensor();
  const float* filters = packed.defined() ? packed.data<float>() : nullptr;
  float* filter_sums = filter_partial.defined() ? filter_partial.data<float>() : nullptr;
  double* moments = wants_moments ? moment_partial.data<double>() : nullptr;
  float* down = source_gradient.defined() ? source_gradient.data<float>() : nullptr;
  const int64_t of_output = cut.band * outputs;
  const NormKernels& kernels = WidestNormKernels();
  ForUnits(stream, cut.blocks, of_output + (as_it_lies ? 0 : cut.band * inputs),
           [=, &kernels](int64_t block, float* scratch) {
             cut.ForBands(block, [&](int64_t begin, int64_t end) {
               kernels.write_gradient(gradient, outputs, begin, end, scratch, TensorRows(outputs));
               if (filter_sums != nullptr) {
                 float* read = scratch + of_output;
                 if (!as_it_lies) kernels.read(source, nullptr, inputs, begin, end, read, TensorRows(inputs));
                 MatmulCpu(true, false, outputs, inputs, end - begin, scratch,
                           as_it_lies ? source.data + begin * inputs : read, begin == block * cut.block ? 0 : 1,
                           filter_sums + block * width);
               }
               if (down != nullptr) {
                 const int64_t after = cut.BandAfter(end);
                 WidestProductKernels().multiply({scratch,
                                                  filters,
                                                  down + begin * inputs,
                                                  end - begin,
                                                  outputs,
                                                  inputs,
                                                  {{gradient.gradient + end * outputs, after * outputs},
                                                   {gradient.x + end * outputs, after * outputs},
                                                   {source.data + end * inputs, after * inputs}}});
                 if (moments != nullptr) {
                   kernels.add_gradient_moments(source, down, ImageScale(), inputs, begin, end,
                                                moments + block * 2 * inputs);
                 }
               }
             });
           });
  if (filter_partial.defined()) {
    const Tensor total = ColumnSums<1>(stream, cut.blocks, width, BlockFilters{filter_partial.data<float>(), width});
    AccumulateSums(weight, total.data<double>(), stream);
  }
  return wants_moments ? TotalOfUnits(stream, moment_partial, cut.blocks, inputs) : Tensor();
}

}  // namespace

const ConvNormPasses kPointwiseConvNorm = {Forward, Backward};

}  // namespace trireme::ops
