#include "tools/job/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "core/base/trace.h"
#include "core/image/render.h"
#include "core/train/rank_zero_work.h"
#include "data/image/codec.h"
#include "data/image/draw.h"
#include "data/loader/read_ahead.h"
#include "models/boxes/box_geometry.h"

namespace trireme {
namespace {

// An image as the detector takes it, its size there, and before.
struct Prepared {
  int width = 0, height = 0;
  ImageExtent extent;
  std::vector<uint8_t> pixels;
};

Prepared Prepare(std::shared_ptr<const Image> image, const ImageSpec& spec) {
  Prepared prepared;
  prepared.width = image->width;
  prepared.height = image->height;
  prepared.extent = spec.ExtentOf(image->width, image->height, spec.keeps_aspect() ? spec.shorter_sides.back() : 0);
  prepared.pixels.resize(static_cast<size_t>(spec.height) * spec.width * 3);
  Sample sample;
  sample.plan = AugmentationPlan(image->width, image->height);
  sample.source = std::move(image);
  ShowWithin(spec, prepared.extent, &sample);
  RenderImage(*sample.source, sample.plan, spec.width, spec.height, prepared.pixels.data());
  return prepared;
}

// Detections of `images`, each in its own pixels.
StatusOr<std::vector<Detections>> DetectImages(Detector& detector, const std::vector<const Prepared*>& images,
                                               Precision precision, Device& device) {
  const ImageSpec spec = detector.image_spec();
  const int64_t count = static_cast<int64_t>(images.size());
  std::vector<uint8_t> pixels;
  std::vector<float> extents;
  for (const Prepared* image : images) {
    pixels.insert(pixels.end(), image->pixels.begin(), image->pixels.end());
    extents.push_back(static_cast<float>(image->extent.height));
    extents.push_back(static_cast<float>(image->extent.width));
  }
  Context context(device);
  context.precision = precision;
  const Tensor batch = Tensor::From(device, {count, spec.height, spec.width, 3}, pixels);
  const Tensor sizes = spec.keeps_aspect() ? Tensor::From(device, {count, 2}, extents) : Tensor();
  const TraceSpan span(TraceKind::kForward, "detect");
  TRIREME_ASSIGN_OR_RETURN(std::vector<Detections> detections, detector.Detect(context, batch, sizes));
  for (size_t i = 0; i < images.size(); ++i) {
    Detections& found = detections[i];
    for (Detection& detection : found) {
      detection.box = BoxFromExtent(detection.box, images[i]->width, images[i]->height, images[i]->extent);
    }
    // What lies beside the image, in the grey of a letterbox.
    found.erase(
        std::remove_if(found.begin(), found.end(), [](const Detection& detection) { return !HasArea(detection.box); }),
        found.end());
  }
  return detections;
}

// One image of the data set, read and prepared on another thread.
struct Read {
  Status status;
  Sample sample;  // without its pixels
  Prepared prepared;
};

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// This rank's images, in rounds.
class Share {
 public:
  Share(Detector& detector, const Dataset& data, int64_t batch_size, int threads, Precision precision, Device& device,
        int rank, int world, FaultLog* faults)
      : detector_(detector),
        batch_size_(batch_size),
        precision_(precision),
        device_(device),
        rank_(rank),
        world_(world),
        faults_(*faults),
        evaluator_(static_cast<int>(data.class_names().size())),
        reader_((data.size() - rank + world - 1) / world, threads, 2 * batch_size,
                [&data, spec = detector.image_spec(), rank, world](int64_t i) {
                  Read read;
                  read.status = data.Get(rank + i * world, &read.sample);
                  if (read.status.ok()) read.prepared = Prepare(read.sample.source, spec);
                  read.sample.source = nullptr;
                  return read;
                }) {}

  // Goes on until a batch is done, or `seconds` have passed without one.
  Status Work(double seconds);
  bool done() const { return reader_.done() && batch_.empty(); }
  DetectionEvaluator& evaluator() { return evaluator_; }

 private:
  Status DetectBatch();

  Detector& detector_;
  const int64_t batch_size_;
  const Precision precision_;
  Device& device_;
  const int rank_, world_;
  FaultLog& faults_;
  DetectionEvaluator evaluator_;
  std::vector<Read> batch_;
  int64_t taken_ = 0;
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
  std::vector<const Prepared*> images;
  for (const Read& read : batch_) images.push_back(&read.prepared);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Detections> detections,
                           DetectImages(detector_, images, precision_, device_));
  for (size_t i = 0; i < batch_.size(); ++i) {
    evaluator_.Add(batch_[i].sample.id, batch_[i].sample.objects, detections[i]);
  }
  batch_.clear();
  return absl::OkStatus();
}

Status WritePicture(Detector& detector, const Dataset& data, int64_t index, float threshold, Precision precision,
                    Device& device, const std::string& folder) {
  Sample sample;
  if (!data.Get(index, &sample).ok()) return absl::OkStatus();  // the evaluation has counted it
  const Image& image = *sample.source;
  TRIREME_ASSIGN_OR_RETURN(Detections detections, DetectImage(detector, image, precision, device));
  detections.erase(std::remove_if(detections.begin(), detections.end(),
                                  [&](const Detection& detection) { return detection.score < threshold; }),
                   detections.end());
  // Small pictures are enlarged, so that lines and labels can be read.
  const int factor = std::max(1, 400 / std::max(1, image.width));
  Image annotated = ResizeImage(image, image.width * factor, image.height * factor);
  Image found = annotated;
  const auto enlarge = [factor](Box* box) {
    const float f = static_cast<float>(factor);
    *box = {box->x1 * f, box->y1 * f, box->x2 * f, box->y2 * f};
  };
  for (Object& object : sample.objects) enlarge(&object.box);
  for (Detection& detection : detections) enlarge(&detection.box);
  DrawObjects(sample.objects, data.class_names(), &annotated);
  DrawDetections(detections, data.class_names(), &found);
  return WriteImage(absl::StrFormat("%s/%03d.jpg", folder, index), SideBySide(annotated, found));
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

StatusOr<DetectionEvaluator> DetectAll(Detector& detector, const Dataset& data, const EvaluationConfig& config,
                                       int threads, Precision precision, Device& device, Communicator& communicator,
                                       FaultLog* faults, const std::atomic<bool>* stop_requested) {
  const double round_seconds = std::min(1.0, communicator.timeout_seconds() / 10);
  Share share(detector, data, config.batch_size(), threads, precision, device, communicator.rank(), communicator.size(),
              faults);
  for (Round round; round.unfinished;) {
    if (const Status worked = share.Work(round_seconds); !worked.ok()) {
      communicator.Abort(worked);
      return worked;
    }
    const Round mine = {stop_requested != nullptr && stop_requested->load(), !share.done()};
    TRIREME_ASSIGN_OR_RETURN(round, Meet(mine, communicator, device));
    if (round.stop) return absl::CancelledError("stopped in an evaluation");
  }
  DetectionEvaluator& evaluator = share.evaluator();
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> shares,
                           AllGatherStrings(communicator, evaluator.Serialize(), device));
  for (int rank = 0; rank < communicator.size(); ++rank) {
    if (rank != communicator.rank()) TRIREME_RETURN_IF_ERROR(evaluator.Merge(shares[static_cast<size_t>(rank)]));
  }
  return std::move(evaluator);
}

EvaluationReport MakeReport(const DetectionEvaluator& evaluator, const std::vector<std::string>& class_names,
                            const EvaluationConfig& config) {
  const VocResult voc = evaluator.EvaluateVoc(0.5, config.voc2007());
  EvaluationReport report = {{"mAP50", voc.mean_average_precision}, {"mAP", evaluator.EvaluateCoco().ap}};
  for (size_t label = 0; label < class_names.size(); ++label) {
    const double precision = voc.classes[label].average_precision;
    // A class without objects has none.
    if (std::isfinite(precision)) report.emplace_back("AP50/" + class_names[label], precision);
  }
  return report;
}

StatusOr<EvaluationReport> EvaluateDetector(Detector& detector, const Dataset& data, const EvaluationConfig& config,
                                            int threads, Precision precision, Device& device,
                                            Communicator& communicator, FaultLog* faults,
                                            const std::atomic<bool>* stop_requested) {
  TRIREME_ASSIGN_OR_RETURN(const DetectionEvaluator evaluator, DetectAll(detector, data, config, threads, precision,
                                                                         device, communicator, faults, stop_requested));
  return MakeReport(evaluator, data.class_names(), config);
}

StatusOr<Detections> DetectImage(Detector& detector, const Image& image, Precision precision, Device& device) {
  const Prepared prepared = Prepare(std::make_shared<const Image>(image), detector.image_spec());
  TRIREME_ASSIGN_OR_RETURN(std::vector<Detections> detections, DetectImages(detector, {&prepared}, precision, device));
  return std::move(detections[0]);
}

Status WritePictures(Detector& detector, const Dataset& data, int count, float threshold, Precision precision,
                     Device& device, Communicator& communicator, const std::string& folder) {
  const bool leads = communicator.rank() == 0;
  const int64_t pictures = std::min<int64_t>(count, data.size());
  Status status = leads ? MakeFolder(folder) : absl::OkStatus();
  for (int64_t index = 0;; ++index) {
    TRIREME_ASSIGN_OR_RETURN(const bool more,
                             RankZeroHasMore(communicator, device, leads && status.ok() && index < pictures));
    if (!more) return status;
    if (leads) {
      status =
          CatchDeviceError([&] { return WritePicture(detector, data, index, threshold, precision, device, folder); });
    }
  }
}

}  // namespace trireme
