#include <glog/logging.h>

#include <algorithm>
#include <cstring>

#include "core/image/render.h"
#include "data/loader/batch_buffer.h"

namespace trireme {

RenderLane::RenderLane(Device& device, JpegDecoder* decoder)
    : device_(device),
      decoder_(decoder),
      stream_(device.NewStream("loader")),
      allocated_(device.NewEvent()),
      idle_(device.NewEvent()),
      sources_(Tensor::Empty(device, {0}, DataType::kUint8)) {}

void RenderLane::Drain() {
  // Where the device has failed there is nothing to wait for, and whoever uses it has heard of it.
  CatchDeviceError([&] {
    stream_->Synchronize();
    return absl::OkStatus();
  }).IgnoreError();
}

void RenderLane::MakeRoom(int64_t bytes) {
  if (sources_.size() >= bytes) return;
  // Memory is the compute stream's: it goes back after what the loader's stream still does with it, and is there
  // for that stream after the compute stream has come to its allocation.
  stream_->Record(*idle_);
  device_.compute_stream().Wait(*idle_);
  sources_ = Tensor();
  sources_ = Tensor::Empty(device_, {bytes + bytes / 4}, DataType::kUint8);
  device_.compute_stream().Record(*allocated_);
  stream_->Wait(*allocated_);
}

namespace {

constexpr int64_t Aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

class DeviceBatchBuffer : public BatchBuffer {
 public:
  DeviceBatchBuffer(const BatchSize& size, RenderLane& lane)
      : BatchBuffer(size),
        lane_(lane),
        device_(lane.device_),
        labels_at_(Aligned(size.images * size.objects * 4 * 4)),
        keys_at_(labels_at_ + Aligned(size.images * size.objects * 4)),
        sizes_at_(keys_at_ + Aligned(size.images * 8)),
        jobs_at_(sizes_at_ + Aligned(size.images * 2 * 4)),
        pixels_at_(jobs_at_ + Aligned(size.images * static_cast<int64_t>(sizeof(RenderJob)))),
        images_(Tensor::Empty(device_, {size.images * image_bytes()}, DataType::kUint8)),
        annotations_(Tensor::Empty(device_, {jobs_at_}, DataType::kUint8)),
        rendered_(device_.NewEvent()),
        taken_(device_.NewEvent()),
        decoded_(static_cast<size_t>(size.images)) {
    device_.compute_stream().Record(*taken_);
    // Sources are rarely smaller than what is made of them.
    Reserve(pixels_at_ + size.images * image_bytes());
  }

  void Begin() override {
    pixels_used_ = 0;
    homeless_.clear();
    waits_for_room_ = false;
    decoded_bytes_ = 0;
    for (Decoded& decoded : decoded_) decoded.is_used = false;
  }

  void WaitUntilFree() override { rendered_->Synchronize(); }

  void Put(int64_t place, const Sample& sample) override {
    RenderJob job = MakeRenderJob(sample.plan, size_.width, size_.height);
    const int64_t bytes = job.region.bytes();
    int64_t begin = 0;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      begin = pixels_used_;
      pixels_used_ += Aligned(bytes);
    }
    job.PlaceSource(begin, 3 * static_cast<int64_t>(job.region.width), bytes);
    jobs()[place] = job;
    if (pixels_at_ + begin + Aligned(bytes) <= capacity_) {
      CopyRegion(*sample.source, job.region, host() + pixels_at_ + begin);
      return;
    }
    // The others write to the buffer now, so it cannot grow before all are done.
    Homeless region{begin, std::vector<uint8_t>(static_cast<size_t>(bytes))};
    CopyRegion(*sample.source, job.region, region.pixels.data());
    std::lock_guard<std::mutex> lock(mutex_);
    homeless_.push_back(std::move(region));
  }

  Status PutEncoded(int64_t place, const Sample& sample) override {
    if (lane_.decoder_ == nullptr) return BatchBuffer::PutEncoded(place, sample);
    Decoded& decoded = decoded_[static_cast<size_t>(place)];
    if (decoded.image == nullptr) decoded.image = lane_.decoder_->NewImage();
    TRIREME_RETURN_IF_ERROR(lane_.decoder_->DecodeOnHost(sample.encoded, decoded.image.get()));
    jobs()[place] = MakeRenderJob(sample.plan, size_.width, size_.height);
    decoded.width = sample.encoded->width;
    decoded.height = sample.encoded->height;
    decoded.is_used = true;
    return absl::OkStatus();
  }

  void Finish() override {
    if (!homeless_.empty()) {
      const std::shared_ptr<void> before = buffer_;
      const int64_t used = capacity_;
      Reserve((pixels_at_ + pixels_used_) * 5 / 4);
      std::memcpy(host(), before.get(), static_cast<size_t>(used));
      for (const Homeless& region : homeless_) {
        std::copy(region.pixels.begin(), region.pixels.end(), host() + pixels_at_ + region.begin);
      }
      homeless_.clear();
    }
    PlaceDecoded();
    std::lock_guard<std::mutex> lock(lane_.mutex_);
    if (source_bytes() + decoded_bytes_ <= lane_.sources_.size()) {
      Enqueue();
    } else {
      waits_for_room_ = true;
    }
  }

  void Deliver(Batch* batch) override {
    FitTensors(device_, batch);
    if (waits_for_room_) {
      std::lock_guard<std::mutex> lock(lane_.mutex_);
      lane_.MakeRoom(source_bytes() + decoded_bytes_);
      Enqueue();
      waits_for_room_ = false;
    }
    Stream& compute = device_.compute_stream();
    compute.Wait(*rendered_);
    const auto copy = [&](const Tensor& to, const Tensor& from, int64_t at) {
      device_.Copy(to.raw(), from.data<uint8_t>() + at, static_cast<size_t>(to.bytes()), compute);
    };
    copy(batch->images, images_, 0);
    copy(batch->boxes, annotations_, 0);
    copy(batch->labels, annotations_, labels_at_);
    copy(batch->random_keys, annotations_, keys_at_);
    if (size_.padded) copy(batch->image_sizes, annotations_, sizes_at_);
    compute.Record(*taken_);
  }

 private:
  // Pixels for which there was no room.
  struct Homeless {
    int64_t begin;
    std::vector<uint8_t> pixels;
  };

  // A whole image that the device decodes, behind what is copied.
  struct Decoded {
    std::unique_ptr<JpegDecoder::Image> image;
    bool is_used = false;
    int width = 0, height = 0;
    int64_t begin = 0;
  };

  uint8_t* host() const { return static_cast<uint8_t*>(buffer_.get()); }
  RenderJob* jobs() const { return reinterpret_cast<RenderJob*>(host() + jobs_at_); }
  int64_t source_bytes() const { return pixels_at_ + pixels_used_ - jobs_at_; }

  // A new buffer, with nothing in it.
  void Reserve(int64_t bytes) {
    buffer_ = device_.NewHostBuffer(static_cast<size_t>(bytes));
    capacity_ = bytes;
    boxes_ = reinterpret_cast<float*>(host());
    labels_ = reinterpret_cast<int32_t*>(host() + labels_at_);
    keys_ = reinterpret_cast<int64_t*>(host() + keys_at_);
    sizes_ = reinterpret_cast<float*>(host() + sizes_at_);
  }

  void PlaceDecoded() {
    for (size_t place = 0; place < decoded_.size(); ++place) {
      Decoded& decoded = decoded_[place];
      if (!decoded.is_used) continue;
      decoded.begin = pixels_used_ + decoded_bytes_;
      const int64_t row_bytes = 3 * static_cast<int64_t>(decoded.width), bytes = row_bytes * decoded.height;
      RenderJob& job = jobs()[place];
      const int64_t first = row_bytes * job.region.top + 3 * static_cast<int64_t>(job.region.left);
      job.PlaceSource(decoded.begin + first, row_bytes, bytes - first);
      decoded_bytes_ += Aligned(bytes);
    }
  }

  // Holding the lane's mutex.
  void Enqueue() {
    Stream& stream = *lane_.stream_;
    stream.Wait(*taken_);
    device_.Copy(annotations_.raw(), host(), static_cast<size_t>(jobs_at_), stream);
    device_.Copy(lane_.sources_.raw(), host() + jobs_at_, static_cast<size_t>(source_bytes()), stream);
    uint8_t* const sources = lane_.sources_.data<uint8_t>();
    uint8_t* const pixels = sources + (pixels_at_ - jobs_at_);
    for (const Decoded& decoded : decoded_) {
      if (decoded.is_used) lane_.decoder_->DecodeOnDevice(decoded.image.get(), pixels + decoded.begin, stream);
    }
    RenderBatch(reinterpret_cast<const RenderJob*>(sources), size_.images, pixels, size_.width, size_.height,
                images_.data<uint8_t>(), stream);
    stream.Record(*rendered_);
  }

  RenderLane& lane_;
  Device& device_;
  // The page-locked memory: boxes, labels, random keys, sizes, jobs, packed regions.
  const int64_t labels_at_, keys_at_, sizes_at_, jobs_at_, pixels_at_;
  std::shared_ptr<void> buffer_;
  int64_t capacity_ = 0;

  std::mutex mutex_;  // of what follows, while samples are put
  int64_t pixels_used_ = 0;
  std::vector<Homeless> homeless_;

  bool waits_for_room_ = false;
  const Tensor images_, annotations_;
  // The device has done with the page-locked memory, and images_ is there; the compute stream has copied it.
  const std::unique_ptr<Event> rendered_, taken_;

  std::vector<Decoded> decoded_;  // by place
  int64_t decoded_bytes_ = 0;
};

std::unique_ptr<BatchBuffer> MakeDeviceBatchBuffer(const BatchSize& size, RenderLane& lane) {
  return std::make_unique<DeviceBatchBuffer>(size, lane);
}

}  // namespace trireme
