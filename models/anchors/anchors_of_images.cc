#include "models/anchors/anchors_of_images.h"

#include "core/device/parallel_for.h"

namespace trireme {

Tensor AnchorsOfImages(const Tensor& anchors, const ImageSizes& sizes, int64_t num_images, Stream& stream) {
  const int64_t count = anchors.dim(0);
  const Tensor of_images = Tensor::Empty(stream.device(), {num_images, count, 4});
  const Box* from = reinterpret_cast<const Box*>(anchors.data<float>());
  Box* to = reinterpret_cast<Box*>(of_images.data<float>());
  ParallelFor(stream, num_images * count, [=] TRIREME_HD(int64_t i) {
    const Box anchor = from[i % count];
    to[i] = sizes.HasCentreOf(i / count, anchor) ? anchor : Box();
  });
  return of_images;
}

}  // namespace trireme
