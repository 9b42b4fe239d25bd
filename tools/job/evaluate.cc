#include "tools/job/evaluate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/clock.h"
#include "data/loader/read_ahead.h"

namespace trireme {
namespace {

// One image of the data set, read and prepared on another thread.
struct Read {
  Status status;
  Sample sample;  // without its pixels
  PreparedImage prepared;
};

// This rank's images, in rounds.
class Share {
 public:
  Share(const ReadyDetector& ready, const Dataset& data, const Config& config, int rank, int world, FaultLog* faults)
      : ready_(ready),
        batch_size_(config.evaluation().batch_size()),
        rank_(rank),
        world_(world),
        faults_(*faults),
        evaluator_(static_cast<int>(data.class_names().size())),
        reader_((data.size() - rank + world - 1) / world, config.loader().threads(), 2 * batch_size_,
                [&data, spec = ready.detector.image_spec(), rank, world](int64_t i) {
                  Read read;
                  read.status = data.Get(rank + i * world, &read.sample);
                  if (read.status.ok()) read.prepared = PrepareImage(read.sample.source, spec);
                  read.sample.source = nullptr;
                  return read;
                }) {}

  // Goes on until a batch is done, or `seconds` have passed without one.
  Status Work(double seconds);
  bool done() const { return reader_.done() && batch_.empty(); }
  DetectionEvaluator& evaluator() { return evaluator_; }
  int64_t added() const { return added_; }

 private:
  Status DetectBatch();

  const ReadyDetector ready_;
  const int64_t batch_size_;
  const int rank_, world_;
  FaultLog& faults_;
  DetectionEvaluator evaluator_;
  std::vector<Read> batch_;
  int64_t taken_ = 0;
  int64_t added_ = 0;       // images
  ReadAhead<Read> reader_;  // the last: its threads end first
};

Status Share::Work(double seconds) {
  const double end = Now() + seconds;
  Read read;
  while (static_cast<int64_t>(batch_.size()) < batch_size_ && !reader_.done()) {
    if (!reader_.NextWithin(std::max(0.0, end - Now()), &read)) return absl::OkStatus();
    const int64_t index = rank_ + world_ * taken_++;
    if (read.status.ok()) {
      batch_.push_back(std::move(read));
    } else {
      faults_.Add("image does not decode", read.sample.name.empty() ? absl::StrCat("image ", index) : read.sample.name,
                  absl::StrCat(read.status.message(), "; left out of the evaluation"));
    }
  }
  return batch_.empty() ? absl::OkStatus() : DetectBatch();
}

Status Share::DetectBatch() {
  std::vector<const PreparedImage*> images;
  for (const Read& read : batch_) images.push_back(&read.prepared);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Detections> detections, DetectImages(ready_, images));
  for (size_t i = 0; i < batch_.size(); ++i) {
    evaluator_.Add(batch_[i].sample.id, batch_[i].sample.objects, detections[i]);
    ++added_;
  }
  batch_.clear();
  return absl::OkStatus();
}

// What the ranks tell one another after each round.
struct Round {
  bool stop = false;       // one was asked to
  bool unfinished = true;  // one is not done
};

StatusOr<Round> Meet(const Round& mine, Communicator& communicator, Device& device) {
  const Tensor of_all = Tensor::From(device, {2}, std::vector<int32_t>{mine.stop, mine.unfinished});
  TRIREME_RETURN_IF_ERROR(communicator.AllReduce(of_all, ReduceOperation::kMax, device.compute_stream()));
  const std::vector<int32_t> flags = of_all.ToVector<int32_t>();
  if (!device.compute_stream().is_inline()) TRIREME_RETURN_IF_ERROR(communicator.status());
  return Round{flags[0] != 0, flags[1] != 0};
}

}  // namespace

StatusOr<DetectionEvaluator> DetectAll(const ReadyDetector& ready, const Dataset& data, const Config& config,
                                       Communicator& communicator, FaultLog* faults,
                                       const std::atomic<bool>* stop_requested) {
  const double round_seconds = std::min(1.0, communicator.timeout_seconds() / 10);
  Share share(ready, data, config, communicator.rank(), communicator.size(), faults);
  const auto stops = [&] { return stop_requested != nullptr && stop_requested->load(); };
  for (Round round; round.unfinished;) {
    // A meeting after each batch would cost the time by which the slowest is slower, batch by batch.
    const double end = Now() + round_seconds;
    do {
      if (const Status worked = share.Work(end - Now()); !worked.ok()) {
        communicator.Abort(worked);
        return worked;
      }
    } while (!share.done() && Now() < end && !stops() && communicator.status().ok());
    const Round mine = {stops(), !share.done()};
    TRIREME_ASSIGN_OR_RETURN(round, Meet(mine, communicator, ready.device));
    if (round.stop) return absl::CancelledError("stopped in an evaluation");
  }
  DetectionEvaluator& evaluator = share.evaluator();
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> shares,
                           AllGatherStrings(communicator, evaluator.Serialize(), ready.device));
  for (int rank = 0; rank < communicator.size(); ++rank) {
    if (rank != communicator.rank()) TRIREME_RETURN_IF_ERROR(evaluator.Merge(shares[static_cast<size_t>(rank)]));
  }
  const Tensor added = Tensor::From(ready.device, {1}, std::vector<int64_t>{share.added()});
  TRIREME_RETURN_IF_ERROR(communicator.AllReduce(added, ReduceOperation::kSum, ready.device.compute_stream()));
  const int64_t images = added.ToVector<int64_t>()[0];
  TRIREME_RETURN_IF_ERROR(communicator.status());
  if (evaluator.num_images() != images) {
    return absl::InternalError(absl::StrCat("the data set gives ", images, " images ", evaluator.num_images(),
                                            " different ids; each needs one of its own (core/api/sample.h)"));
  }
  return std::move(evaluator);
}

EvaluationReport MakeReport(const DetectionEvaluator& evaluator, const std::vector<std::string>& class_names,
                            const EvaluationConfig& config) {
  const VocResult voc = evaluator.EvaluateVoc(0.5, config.voc2007());
  const CocoResult coco = evaluator.EvaluateCoco();
  EvaluationReport report;
  // What there are no objects for has no figure.
  const auto add = [&report](const std::string& name, double value) {
    if (std::isfinite(value)) report.emplace_back(name, value);
  };
  add("mAP50", voc.mean_average_precision);
  add("mAP", coco.ap);
  add("mAP50/COCO", coco.ap50);
  add("mAP75", coco.ap75);
  add("mAP/small", coco.ap_small);
  add("mAP/medium", coco.ap_medium);
  add("mAP/large", coco.ap_large);
  add("AR1", coco.ar1);
  add("AR10", coco.ar10);
  add("AR100", coco.ar100);
  add("AR/small", coco.ar_small);
  add("AR/medium", coco.ar_medium);
  add("AR/large", coco.ar_large);
  for (size_t label = 0; label < class_names.size(); ++label) {
    add("AP50/" + class_names[label], voc.classes[label].average_precision);
  }
  for (size_t label = 0; label < class_names.size(); ++label) add("AP/" + class_names[label], coco.class_ap[label]);
  return report;
}

}  // namespace trireme
