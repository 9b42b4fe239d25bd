// Where the loader's threads put the samples of one batch, and how these come to the device.
//
// Life of a buffer, again and again: Begin; for every place of the batch, by any thread at any time, WaitUntilFree,
// boxes, labels, size, id and Put; Finish, by the thread that put the last; Deliver, by the thread that calls
// Loader::Next. It may be begun anew without having been finished or delivered. Errors of the device are DeviceErrors.
//
// On a device whose compute stream is inline (the CPU), Put renders the sample, and Deliver copies. On others:
//   * Put copies the part of the source that is needed into page-locked memory, beside the plan of its rendering.
//   * PutEncoded has a JpegDecoder do the host's half of decoding, into memory of its own.
//   * Finish enqueues, on a stream of the loader's own: the copy to the device, the device's half of decoding, and one
//     kernel that renders all images.
//   * Deliver makes the compute stream wait for that, and copy the result into the batch.
// No one waits on the host but WaitUntilFree, until the device has done with the buffer's page-locked memory; its
// memory on the device is kept from being overwritten too early by an event alone. The device's memory is allocated by
// the thread that calls Loader::Next, as what the compute stream does may just be captured when a thread of the loader
// runs: sources for which there is not room enough wait for Deliver.
#ifndef TRIREME_DATA_LOADER_BATCH_BUFFER_H_
#define TRIREME_DATA_LOADER_BATCH_BUFFER_H_

#include <memory>
#include <mutex>
#include <vector>

#include "core/api/batch.h"
#include "core/api/image_spec.h"
#include "core/api/sample.h"
#include "core/device/device.h"
#include "data/loader/jpeg_decoder.h"

namespace trireme {

struct BatchSize {
  int64_t images = 0;
  int height = 0, width = 0;
  int objects = 0;      // room for, in each image
  bool padded = false;  // images have sizes of their own
};

class BatchBuffer {
 public:
  explicit BatchBuffer(const BatchSize& size) : size_(size), ids_(static_cast<size_t>(size.images)) {}
  virtual ~BatchBuffer() = default;
  BatchBuffer(const BatchBuffer&) = delete;
  BatchBuffer& operator=(const BatchBuffer&) = delete;

  virtual void Begin() {}
  virtual void WaitUntilFree() {}
  // Of one image: 4 * objects, and objects. They move with Finish.
  float* boxes(int64_t place) { return boxes_ + 4 * size_.objects * place; }
  int32_t* labels(int64_t place) { return labels_ + size_.objects * place; }
  void set_size(int64_t place, const ImageExtent& size) {
    sizes_[2 * place] = static_cast<float>(size.height);
    sizes_[2 * place + 1] = static_cast<float>(size.width);
  }
  void set_id(int64_t place, int64_t id, int64_t random_key) {
    ids_[static_cast<size_t>(place)] = id;
    keys_[place] = random_key;
  }
  virtual void Put(int64_t place, const Sample& sample) = 0;
  // For a sample that nobody has decoded. A status: the decoder does not take it, and Put has to, decoded.
  virtual Status PutEncoded(int64_t place, const Sample& sample);
  virtual void Finish() {}
  virtual void Deliver(Batch* batch) = 0;

 protected:
  // Gives the batch tensors that fit, its own where they do and nothing else holds them.
  void FitTensors(Device& device, Batch* batch) const;
  int64_t image_bytes() const { return int64_t{3} * size_.height * size_.width; }

  const BatchSize size_;
  float* boxes_ = nullptr;
  int32_t* labels_ = nullptr;
  int64_t* keys_ = nullptr;
  float* sizes_ = nullptr;
  std::vector<int64_t> ids_;
};

// The loader's stream, and the device's memory for the sources of the batch that it is at.
class RenderLane {
 public:
  // `decoder` may be null, and outlives the lane.
  RenderLane(Device& device, JpegDecoder* decoder);
  // Waits until the stream is idle; before any of its buffers is destroyed.
  void Drain();

 private:
  friend class DeviceBatchBuffer;

  // Holding mutex_; on the thread that calls Loader::Next.
  void MakeRoom(int64_t bytes);

  Device& device_;
  JpegDecoder* const decoder_;
  std::mutex mutex_;  // of all that follows
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Event> allocated_, idle_;
  Tensor sources_;  // the jobs, then packed regions, then what is decoded; sources_.size() is the room
};

std::unique_ptr<BatchBuffer> MakeHostBatchBuffer(const BatchSize& size, Device& device);
// `lane` outlives the buffer.
std::unique_ptr<BatchBuffer> MakeDeviceBatchBuffer(const BatchSize& size, RenderLane& lane);

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_BATCH_BUFFER_H_
