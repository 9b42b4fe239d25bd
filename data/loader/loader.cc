#include "data/loader/loader.h"

#include <glog/logging.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/catch_exceptions.h"
#include "core/base/random.h"
#include "data/loader/first_readable.h"
#include "data/loader/start_threads.h"

namespace trireme {
namespace {

// Main memory and swap space. Linux promises more, and ends a process without a word that writes to all of it.
double MachineMemory() {
  struct sysinfo info = {};
  if (sysinfo(&info) != 0) return HUGE_VAL;
  return (static_cast<double>(info.totalram) + static_cast<double>(info.totalswap)) * info.mem_unit;
}

int MaxObjects(const Dataset& dataset, const std::vector<const Transform*>& transforms) {
  int most = dataset.max_objects();
  for (const Transform* transform : transforms) most = std::max(most, transform->max_objects(most));
  return most;
}

std::string Mebibytes(double bytes) { return absl::StrFormat("%.0f MiB", bytes / (1 << 20)); }

}  // namespace

Status Loader::Check(const Dataset& dataset, const LoaderOptions& options) {
  const auto refuse = [](const auto&... what) { return absl::InvalidArgumentError(absl::StrCat(what...)); };
  if (dataset.size() < 1) return refuse("the data set has no images");
  if (options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size) {
    return refuse("there is no worker ", options.rank, " of ", options.world_size);
  }
  if (options.global_batch_size < options.world_size) {
    return refuse("a batch of ", options.global_batch_size, " has no image for each of ", options.world_size,
                  " workers");
  }
  if (dataset.size() < options.world_size) {
    return refuse(options.world_size, " workers are more than the ", dataset.size(),
                  " images of the data set; take fewer workers");
  }
  const ImageSpec& image = options.image;
  if (image.height < 1 || image.width < 1) return refuse("images of ", image.width, " x ", image.height);
  if (options.batches_per_step < 1) return refuse("a step of ", options.batches_per_step, " batches");
  if (options.threads < 1) return refuse("loader.threads is ", options.threads, "; at least 1 is needed");
  if (options.prefetch < 1) return refuse("loader.prefetch is ", options.prefetch, "; at least 1 is needed");
  if (options.max_objects < 0) return refuse("max_objects is ", options.max_objects);
  const int64_t share = ShareOfBatch(options.global_batch_size, options.rank, options.world_size).count;
  const double bytes = 3.0 * image.height * image.width * static_cast<double>(share) * options.prefetch;
  if (const double most = MachineMemory(); bytes > most) {
    return refuse("a worker's ", share, " images of ", image.width, " x ", image.height, " take ", Mebibytes(bytes),
                  " in the ", options.prefetch, " batches that are made ahead, and this machine has ", Mebibytes(most),
                  "; lower global_batch_size, the images' size or loader.prefetch");
  }
  if (options.first_step < 0 || options.total_steps < 0) return refuse("there are no steps before 0");
  return absl::OkStatus();
}

Loader::Loader(const Dataset* dataset, std::vector<const Transform*> transforms, FaultLog* faults, Device* device,
               const LoaderOptions& options)
    : dataset_(*dataset),
      transforms_(std::move(transforms)),
      faults_(*faults),
      device_(*device),
      options_(options),
      share_(ShareOfBatch(options.global_batch_size, options.rank, options.world_size)),
      max_objects_(std::max(1, options.max_objects > 0 ? options.max_objects : MaxObjects(*dataset, transforms_))),
      num_classes_(static_cast<int>(dataset->class_names().size())),
      sampler_(dataset->size(), options.seed, options.shuffle) {
  const Status checked = Check(dataset_, options_);
  CHECK(checked.ok()) << checked;
  const BatchSize size{share_.count, options_.image.height, options_.image.width, max_objects_,
                       options_.image.keeps_aspect()};
  CHECK(options_.decoder == nullptr || !device_.compute_stream().is_inline()) << "nothing to decode beside the host";
  if (!device_.compute_stream().is_inline()) lane_ = std::make_unique<RenderLane>(device_, options_.decoder);
  for (int i = 0; i < options_.prefetch; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->buffer = lane_ == nullptr ? MakeHostBatchBuffer(size, device_) : MakeDeviceBatchBuffer(size, *lane_);
    slots_.push_back(std::move(slot));
  }
  std::unique_lock<std::mutex> lock(mutex_);
  Restart(options_.first_step, &lock);
  started_ = StartThreads(
      options_.threads, [this, trace = TraceOfThisThread()] { Work(trace); }, &threads_);
}

Loader::~Loader() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  if (lane_ != nullptr) lane_->Drain();
}

void Loader::Work(const std::shared_ptr<Trace>& trace) {
  const TraceThread traced(trace, "loader");
  const Status bound = CatchDeviceError([this] {
    device_.BindToThisThread();
    return absl::OkStatus();
  });
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const Job job = jobs_.front();
    jobs_.pop_front();
    ++running_;
    lock.unlock();
    Status status = bound.ok() ? CatchDeviceError([&] { return Fill(job); }) : bound;
    lock.lock();
    job.slot->status.Update(status);
    if (job.slot->remaining == 1 && job.slot->status.ok()) {
      lock.unlock();
      status = CatchDeviceError([&] {
        job.slot->buffer->Finish();
        return absl::OkStatus();
      });
      lock.lock();
      job.slot->status.Update(status);
    }
    --running_;
    if (--job.slot->remaining == 0 || running_ == 0) done_.notify_all();
  }
}

Status Loader::Fill(const Job& job) {
  const TraceSpan span(TraceKind::kInput, "image of step", job.step);
  const int64_t position = job.step * options_.global_batch_size + share_.first + job.place;
  const Sampler::Place turn = sampler_.At(position);
  return Annotate(FirstReadable(dataset_, turn.index, &faults_,
                                [&](int64_t index, Sample* sample) { return FillWith(index, turn, job, sample); }),
                  "no image of the data set can be read; the first");
}

Status Loader::FillWith(int64_t index, const Sampler::Place& turn, const Job& job, Sample* sample) {
  const bool encoded = options_.decoder != nullptr;
  TRIREME_RETURN_IF_ERROR(encoded ? dataset_.GetEncoded(index, sample) : dataset_.Get(index, sample));
  sample->step = job.step / options_.batches_per_step;
  Random random(options_.seed, RandomUse::kAugmentation, static_cast<uint64_t>(turn.epoch),
                static_cast<uint64_t>(turn.index));
  for (size_t i = 0; i < transforms_.size(); ++i) TRIREME_RETURN_IF_ERROR(Transformed(i, sample, &random));
  const ImageSpec& spec = options_.image;
  const int shorter_side =
      spec.keeps_aspect() ? spec.shorter_sides[random.Below(static_cast<uint32_t>(spec.shorter_sides.size()))] : 0;
  const ImageExtent extent = spec.ExtentOf(sample->width(), sample->height(), shorter_side);

  BatchBuffer& buffer = *job.slot->buffer;
  buffer.WaitUntilFree();
  PutObjects(*sample, extent, buffer.boxes(job.place), buffer.labels(job.place));
  buffer.set_size(job.place, extent);
  ShowWithin(spec, extent, sample);
  TRIREME_RETURN_IF_ERROR(sample->fault);
  bool is_put = false;
  if (sample->source == nullptr) {
    const Status taken = buffer.PutEncoded(job.place, *sample);
    is_put = taken.ok();
    if (!is_put) {
      TRIREME_RETURN_IF_ERROR(sample->Decode());
      faults_.Add(absl::StrCat(options_.decoder->name(), " does not take an image"), sample->name,
                  absl::StrCat(taken.message(), "; it is decoded on the CPU"));
    }
  }
  if (!is_put) {
    buffer.Put(job.place, *sample);
  }
  buffer.set_id(job.place, sample->id, RandomKey(sample->step, sample->id));
  return absl::OkStatus();
}

Status Loader::Transformed(size_t number, Sample* sample, Random* random) const {
  const std::string which = absl::StrCat("transforms[", number, "]");
  TRIREME_RETURN_IF_ERROR(CatchExceptions(which, [&]() -> Status {
    transforms_[number]->Apply(sample, random);
    return absl::OkStatus();
  }));
  const bool has_pixels = sample->encoded != nullptr || (sample->source != nullptr && !sample->source->empty());
  if (has_pixels && sample->width() > 0 && sample->height() > 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(which, " left no image"));
}

void Loader::PutObjects(const Sample& sample, const ImageExtent& extent, float* boxes, int32_t* labels) {
  std::fill(boxes, boxes + 4 * max_objects_, 0.0f);
  std::fill(labels, labels + max_objects_, -1);
  int count = 0;
  for (const Object& object : sample.objects) {
    if (object.crowd) continue;
    const Box box = BoxToExtent(object.box, sample.width(), sample.height(), extent);
    if (!(box.x2 > box.x1 && box.y2 > box.y1)) continue;
    if (object.label < 0 || object.label >= num_classes_) {
      faults_.Add("object of no class", sample.name,
                  absl::StrCat("label ", object.label, " of ", num_classes_, " classes; the object is left out"));
      continue;
    }
    if (count == max_objects_) {
      faults_.Add("more objects than the batch has room for", sample.name,
                  absl::StrCat(sample.objects.size(), " objects, room for ", max_objects_, "; the last are left out"));
      break;
    }
    const float corners[] = {box.x1, box.y1, box.x2, box.y2};
    std::copy(corners, corners + 4, boxes + 4 * count);
    labels[count++] = object.label;
  }
}

void Loader::Schedule(Slot* slot, int64_t step) {
  slot->step = step;
  slot->remaining = static_cast<int>(share_.count);
  slot->status = absl::OkStatus();
  slot->buffer->Begin();
  scheduled_.push_back(slot);
  for (int i = 0; i < share_.count; ++i) jobs_.push_back({slot, step, i});
  work_.notify_all();
}

void Loader::Restart(int64_t step, std::unique_lock<std::mutex>* lock) {
  jobs_.clear();
  done_.wait(*lock, [this] { return running_ == 0; });
  scheduled_.clear();
  // The one that is asked for, whatever it is; the others only if they will be.
  Schedule(slots_[0].get(), step);
  for (size_t i = 1; i < slots_.size(); ++i) {
    if (WillCome(step + static_cast<int64_t>(i))) Schedule(slots_[i].get(), step + static_cast<int64_t>(i));
  }
}

Status Loader::Next(int64_t step, Batch* batch) {
  CHECK_GE(step, 0);
  TRIREME_RETURN_IF_ERROR(started_);
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock<std::mutex> lock(mutex_);
  if (scheduled_.empty() || scheduled_.front()->step != step) Restart(step, &lock);
  Slot* const slot = scheduled_.front();
  done_.wait(lock, [slot] { return slot->remaining == 0; });
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!slot->status.ok()) {
    const Status status = slot->status;
    scheduled_.clear();  // a later call starts anew
    return status;
  }
  lock.unlock();
  slot->buffer->Deliver(batch);
  lock.lock();
  scheduled_.pop_front();
  const int64_t further = (scheduled_.empty() ? step : scheduled_.back()->step) + 1;
  if (WillCome(further)) Schedule(slot, further);
  return absl::OkStatus();
}

}  // namespace trireme
