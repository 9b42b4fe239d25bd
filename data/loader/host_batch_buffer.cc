#include <glog/logging.h>

#include "core/image/render.h"
#include "data/loader/batch_buffer.h"

namespace trireme {
namespace {

class HostBatchBuffer : public BatchBuffer {
 public:
  HostBatchBuffer(const BatchSize& size, Device& device)
      : BatchBuffer(size),
        device_(device),
        images_(static_cast<size_t>(size.images * image_bytes())),
        all_boxes_(static_cast<size_t>(size.images * size.objects * 4)),
        all_labels_(static_cast<size_t>(size.images * size.objects)),
        all_keys_(static_cast<size_t>(size.images)),
        all_sizes_(static_cast<size_t>(size.images * 2)) {
    boxes_ = all_boxes_.data();
    labels_ = all_labels_.data();
    keys_ = all_keys_.data();
    sizes_ = all_sizes_.data();
  }

  void Put(int64_t place, const Sample& sample) override {
    RenderImage(*sample.source, sample.plan, size_.width, size_.height, &images_[place * image_bytes()]);
  }

  void Deliver(Batch* batch) override {
    FitTensors(device_, batch);
    batch->images.CopyFromHost(images_.data());
    batch->boxes.CopyFromHost(all_boxes_.data());
    batch->labels.CopyFromHost(all_labels_.data());
    batch->random_keys.CopyFromHost(all_keys_.data());
    if (size_.padded) batch->image_sizes.CopyFromHost(all_sizes_.data());
  }

 private:
  Device& device_;
  std::vector<uint8_t> images_;
  std::vector<float> all_boxes_;
  std::vector<int32_t> all_labels_;
  std::vector<int64_t> all_keys_;
  std::vector<float> all_sizes_;
};

}  // namespace

Status BatchBuffer::PutEncoded(int64_t, const Sample&) {
  return absl::UnimplementedError("images are decoded on the CPU here");
}

void BatchBuffer::FitTensors(Device& device, Batch* batch) const {
  const auto fit = [&device](const Shape& shape, DataType type, Tensor* tensor) {
    if (!tensor->defined() || tensor->shape() != shape || tensor->type() != type || &tensor->device() != &device ||
        !tensor->unique()) {
      *tensor = Tensor::Empty(device, shape, type);
    }
  };
  fit({size_.images, size_.height, size_.width, 3}, DataType::kUint8, &batch->images);
  fit({size_.images, size_.objects, 4}, DataType::kFloat32, &batch->boxes);
  fit({size_.images, size_.objects}, DataType::kInt32, &batch->labels);
  fit({size_.images}, DataType::kInt64, &batch->random_keys);
  if (size_.padded) {
    fit({size_.images, 2}, DataType::kFloat32, &batch->image_sizes);
  } else {
    batch->image_sizes = Tensor();
  }
  batch->image_ids = ids_;
}

std::unique_ptr<BatchBuffer> MakeHostBatchBuffer(const BatchSize& size, Device& device) {
  return std::make_unique<HostBatchBuffer>(size, device);
}

}  // namespace trireme
