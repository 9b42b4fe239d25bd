// Loader: batches for one worker, made ahead of time by threads of its own.
//
// Step s takes the sample positions from s * global_batch_size on, in the order of Sampler; each worker a share of them
// (ShareOfBatch), which differ by at most one image. Every worker has a batch for every step: how many steps there are
// is not a question of data, so none can be out of it before the others. Image `index` of an epoch is augmented with
// Random(seed, kAugmentation, epoch, index), then rendered at the detector's size (core/image/render.h; where that
// keeps the aspect, the shorter side is drawn last from the same numbers): so a batch depends on (seed, step) and its
// place alone, never on threads, prefetching, or how many workers share the batch. On the CPU the threads render; on a
// device that runs beside the host they decode into page-locked memory, and the device renders on a stream of the
// loader's own (batch_buffer.h). Next then never waits for the device, and its batch is there in the order of the
// compute stream.
//
// With a decoder, data sets are asked for JPEGs as they are (Dataset::GetEncoded) and the device decodes them; what the
// decoder does not take, the CPU decodes, and the fault log counts it.
//
// Faults: an image that cannot be read, or that a transform spoils, goes to the fault log, and the next index of the
// data set that can be read takes its place. Where none can, Next returns that status. Where the system lets fewer
// threads start than are asked for, those have to do; where it lets none, Next says so. Boxes are clipped to the image,
// and objects of which nothing is left are dropped. Objects for which the batch has no room (max_objects), and those
// that are of no class, are left out and counted.
//
// Ownership: the data set, transforms, fault log and device outlive the loader. Tensors of the Batch that Next is given
// are filled in place where they fit and nothing else holds them (so their addresses stay), else made anew; making them
// may throw DeviceError; an error of the device on one of the loader's threads is Next's status. The destructor stops
// and joins the threads, and waits for the loader's stream.
#ifndef TRIREME_DATA_LOADER_LOADER_H_
#define TRIREME_DATA_LOADER_LOADER_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/api/batch.h"
#include "core/api/dataset.h"
#include "core/api/image_spec.h"
#include "core/api/transform.h"
#include "core/base/fault_log.h"
#include "core/base/trace.h"
#include "core/device/device.h"
#include "data/loader/batch_buffer.h"
#include "data/loader/sampler.h"

namespace trireme {

struct LoaderOptions {
  int global_batch_size = 16;
  // The trainer's steps may take several batches each: images of one step draw random numbers of that step.
  int batches_per_step = 1;
  int rank = 0;
  int world_size = 1;
  uint64_t seed = 1;
  bool shuffle = true;
  // What the detector takes.
  ImageSpec image = {};
  int threads = 1;
  // Batches made ahead, including the one that is being waited for.
  int prefetch = 3;
  // Making batches begins with the first step, as soon as the loader is there; another may be asked for, at the cost of
  // those made in vain.
  int64_t first_step = 0;
  // None is made ahead for this step and later ones; 0 knows no end.
  int64_t total_steps = 0;
  // Room for objects in an image, the same on every worker; 0 takes what the transforms make of the data set's.
  int max_objects = 0;
  // For devices that run beside the host. Null: threads decode. Outlives the loader, which is its only user.
  JpegDecoder* decoder = nullptr;
};

class Loader : public BatchSource {
 public:
  // InvalidArgument where the batch or the data set has fewer images than there are workers, or a number makes no
  // sense.
  static Status Check(const Dataset& dataset, const LoaderOptions& options);

  // Check(dataset, options) has to be OK.
  Loader(const Dataset* dataset, std::vector<const Transform*> transforms, FaultLog* faults, Device* device,
         const LoaderOptions& options);
  ~Loader() override;
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Status Next(int64_t step, Batch* batch) override;
  double wait_seconds() const override { return wait_seconds_; }

  // The epoch that the first sample of the step belongs to, over all workers.
  int64_t epoch_of(int64_t step) const { return step * options_.global_batch_size / dataset_.size(); }
  // Steps in an epoch; fractional, as epochs join without a gap.
  double steps_per_epoch() const {
    return static_cast<double>(dataset_.size()) / static_cast<double>(options_.global_batch_size);
  }

 private:
  // A batch in the making.
  struct Slot {
    int64_t step = -1;
    int remaining = 0;  // samples that are not there yet; the last one there, the batch is finished
    Status status;
    std::unique_ptr<BatchBuffer> buffer;
  };
  struct Job {
    Slot* slot = nullptr;
    int64_t step = 0;
    int place = 0;  // in this worker's share
  };

  void Work(const std::shared_ptr<Trace>& trace);
  // With the image whose turn it is, or the first readable one after it.
  Status Fill(const Job& job);
  // Applies transform `number` of the config. Internal where it throws, or leaves what is no image.
  Status Transformed(size_t number, Sample* sample, Random* random) const;
  // With image `index`, augmented as its turn asks for.
  Status FillWith(int64_t index, const Sampler::Place& turn, const Job& job, Sample* sample);
  // Of a sample that becomes `extent` large.
  void PutObjects(const Sample& sample, const ImageExtent& extent, float* boxes, int32_t* labels);
  bool WillCome(int64_t step) const { return options_.total_steps == 0 || step < options_.total_steps; }
  // Hands the slot out for `step`; holding mutex_.
  void Schedule(Slot* slot, int64_t step);
  // Drops what is under way and starts anew at `step`; holding mutex_.
  void Restart(int64_t step, std::unique_lock<std::mutex>* lock);

  const Dataset& dataset_;
  const std::vector<const Transform*> transforms_;
  FaultLog& faults_;
  Device& device_;
  const LoaderOptions options_;
  const BatchShare share_;
  const int max_objects_;
  const int num_classes_;
  const Sampler sampler_;

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<Job> jobs_;
  int running_ = 0;  // jobs that a thread is at
  bool stopping_ = false;
  std::deque<Slot*> scheduled_;       // in the order of their steps; the first
                                      // belongs to the next step
  std::unique_ptr<RenderLane> lane_;  // null where the threads render
  std::vector<std::unique_ptr<Slot>> slots_;
  Status started_;  // not OK: there are no threads, and no batches
  std::vector<std::thread> threads_;
  double wait_seconds_ = 0;
};

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_LOADER_H_
