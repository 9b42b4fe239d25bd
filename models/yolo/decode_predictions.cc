#include "models/yolo/decode_predictions.h"

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

constexpr int64_t kGrain = 256;

}  // namespace

Var DecodePredictions(Context& context, const Var& offsets, const Tensor& cells, YoloCentre centre) {
  const int64_t rows = cells.dim(0), count = offsets.value().size() / 4;
  CHECK(rows > 0 && count % rows == 0) << offsets.shape() << " of places " << cells.shape();
  Device& device = context.device;
  const Tensor boxes = Tensor::Empty(device, offsets.shape());
  const float* offset = offsets.value().data<float>();
  const YoloCell* cell = reinterpret_cast<const YoloCell*>(cells.data<float>());
  Box* box = reinterpret_cast<Box*>(boxes.data<float>());
  ParallelFor(
      context.stream(), count, [=] TRIREME_HD(int64_t i) { box[i] = cell[i % rows].Decode(offset + 4 * i, centre); },
      kGrain);

  return Record(context, "decode_predictions", boxes, {offsets},
                [&device, offsets, cells, centre, rows, count](Tensor gradient) {
                  const Tensor slopes = Tensor::Empty(device, offsets.shape());
                  const float* offset = offsets.value().data<float>();
                  const YoloCell* cell = reinterpret_cast<const YoloCell*>(cells.data<float>());
                  const float* g = gradient.data<float>();
                  float* slope = slopes.data<float>();
                  ParallelFor(
                      device.compute_stream(), count,
                      [=] TRIREME_HD(int64_t i) {
                        const YoloCell& own = cell[i % rows];
                        const float steps[] = {own.width, own.height};
                        const float sizes[] = {own.anchor_width, own.anchor_height};
                        for (int d = 0; d < 2; ++d) {
                          const float low = g[4 * i + d], high = g[4 * i + 2 + d];
                          const float place = YoloCell::Logistic(offset[4 * i + d]), size = offset[4 * i + 2 + d];
                          const float bend = centre == YoloCentre::kSigmoid ? place * (1 - place) : 1.0f;
                          slope[4 * i + d] = (low + high) * steps[d] * bend;
                          slope[4 * i + 2 + d] =
                              YoloCell::Grows(size) ? (high - low) * 0.5f * sizes[d] * YoloCell::Growth(size) : 0.0f;
                        }
                      },
                      kGrain);
                  offsets.AccumulateGradient(slopes, device.compute_stream());
                });
}

}  // namespace trireme
