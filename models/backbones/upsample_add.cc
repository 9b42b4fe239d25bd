#include "models/backbones/upsample_add.h"

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

// A body is one place with all its channels, which the CPU takes as a vector.
constexpr int64_t kPlacesGrain = 64;

}  // namespace

Var UpsampleAdd(Context& context, const Var& coarse, const Var& fine) {
  const int64_t height = fine.dim(1), width = fine.dim(2), channels = fine.dim(3);
  const int64_t coarse_height = (height + 1) / 2, coarse_width = (width + 1) / 2;
  CHECK(coarse.shape() == (Shape{fine.dim(0), coarse_height, coarse_width, channels}))
      << coarse.shape() << " onto " << fine.shape();
  Stream& stream = context.stream();

  Tensor sum = Tensor::Empty(context.device, fine.shape());
  const float* low = coarse.value().data<float>();
  const float* high = fine.value().data<float>();
  float* out = sum.data<float>();
  ParallelFor(
      stream, fine.dim(0) * height * width,
      [=] TRIREME_HD(int64_t place) {
        const int64_t row = place / width, image = row / height;
        const int64_t y = row % height / 2, x = place % width / 2;
        const float* from = low + ((image * coarse_height + y) * coarse_width + x) * channels;
        for (int64_t c = 0; c < channels; ++c) out[place * channels + c] = high[place * channels + c] + from[c];
      },
      kPlacesGrain);

  return Record(context, "upsample_add", sum, {coarse, fine}, [coarse, fine, &stream](Tensor gradient) {
    if (coarse.requires_gradient()) {
      const int64_t height = fine.dim(1), width = fine.dim(2), channels = fine.dim(3);
      const int64_t coarse_height = coarse.dim(1), coarse_width = coarse.dim(2);
      Tensor coarse_gradient = Tensor::Empty(stream.device(), coarse.shape());
      const float* from = gradient.data<float>();
      float* to = coarse_gradient.data<float>();
      ParallelFor(
          stream, coarse.dim(0) * coarse_height * coarse_width,
          [=] TRIREME_HD(int64_t place) {
            const int64_t row = place / coarse_width, image = row / coarse_height;
            const int64_t top = row % coarse_height * 2, left = place % coarse_width * 2;
            const int64_t bottom = top + 2 < height ? top + 2 : height, right = left + 2 < width ? left + 2 : width;
            float* total = to + place * channels;
            for (int64_t c = 0; c < channels; ++c) total[c] = 0.0f;
            for (int64_t y = top; y < bottom; ++y) {
              for (int64_t x = left; x < right; ++x) {
                const float* part = from + ((image * height + y) * width + x) * channels;
                for (int64_t c = 0; c < channels; ++c) total[c] += part[c];
              }
            }
          },
          kPlacesGrain);
      coarse.AccumulateGradient(coarse_gradient, stream);
    }
    if (fine.requires_gradient()) fine.AccumulateGradient(std::move(gradient), stream);
  });
}

}  // namespace trireme
