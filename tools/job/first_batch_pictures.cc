#include "tools/job/first_batch_pictures.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "data/image/codec.h"
#include "data/image/draw.h"
#include "tools/job/enlarge.h"

namespace trireme {
namespace {

// Image `n`, without its padding.
Image ImageOf(const Batch& batch, int64_t n) {
  const int height = static_cast<int>(batch.images.dim(1)), width = static_cast<int>(batch.images.dim(2));
  Image image(width, height);
  image.data = batch.images.Slice(n, n + 1).ToVector<uint8_t>();
  if (!batch.image_sizes.defined()) return image;
  const std::vector<float> size = batch.image_sizes.Slice(n, n + 1).ToVector<float>();
  Image inner(static_cast<int>(std::ceil(size[1])), static_cast<int>(std::ceil(size[0])));
  CopyRegion(image, {0, 0, inner.width, inner.height}, inner.data.data());
  return inner;
}

std::vector<Object> ObjectsOf(const Batch& batch, int64_t n) {
  const std::vector<float> boxes = batch.boxes.Slice(n, n + 1).ToVector<float>();
  const std::vector<int32_t> labels = batch.labels.Slice(n, n + 1).ToVector<int32_t>();
  std::vector<Object> objects;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    Object object;
    object.box = {boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
    object.label = labels[i];
    objects.push_back(object);
  }
  return objects;
}

}  // namespace

Status FirstBatchPictures::Next(int64_t step, Batch* batch) {
  TRIREME_RETURN_IF_ERROR(of_.Next(step, batch));
  if (left_ == 0) return absl::OkStatus();
  const Status written = Write(*batch);
  if (!written.ok()) LOG(WARNING) << written.message() << "; training goes on, without pictures of what it is on";
  left_ = 0;
  return absl::OkStatus();
}

Status FirstBatchPictures::Write(const Batch& batch) const {
  TRIREME_RETURN_IF_ERROR(MakeFolder(folder_));
  for (int64_t n = 0; n < std::min<int64_t>(left_, batch.images.dim(0)); ++n) {
    const Image image = ImageOf(batch, n);
    std::vector<Object> objects = ObjectsOf(batch, n);
    for (Object& object : objects) Enlarge(static_cast<float>(EnlargementOf(image)), &object.box);
    Image picture = Enlarge(image);
    DrawObjects(objects, class_names_, &picture);
    TRIREME_RETURN_IF_ERROR(WriteImage(absl::StrFormat("%s/%03d.jpg", folder_, n), picture));
  }
  return absl::OkStatus();
}

}  // namespace trireme
