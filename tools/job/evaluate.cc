#include "tools/job/evaluate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "data/image/codec.h"
#include "data/image/draw.h"
#include "data/image/resize.h"
#include "data/metrics/detection_evaluator.h"

namespace trireme {
namespace {

// Detections of `images`, each in its own pixels.
StatusOr<std::vector<Detections>> DetectImages(Detector& detector, const std::vector<const Image*>& images,
                                               Precision precision, Device& device) {
  const ImageSpec spec = detector.image_spec();
  const int64_t count = static_cast<int64_t>(images.size());
  const size_t bytes_each = static_cast<size_t>(spec.height) * spec.width * 3;
  std::vector<uint8_t> pixels(images.size() * bytes_each);
  for (size_t i = 0; i < images.size(); ++i) {
    ResizeImage(*images[i], spec.width, spec.height, pixels.data() + i * bytes_each);
  }
  Context context(device);
  context.precision = precision;
  const Tensor batch = Tensor::From(device, {count, spec.height, spec.width, 3}, pixels);
  TRIREME_ASSIGN_OR_RETURN(std::vector<Detections> detections, detector.Detect(context, batch));
  for (size_t i = 0; i < images.size(); ++i) {
    const float x = static_cast<float>(images[i]->width) / static_cast<float>(spec.width);
    const float y = static_cast<float>(images[i]->height) / static_cast<float>(spec.height);
    for (Detection& detection : detections[i]) {
      detection.box = {detection.box.x1 * x, detection.box.y1 * y, detection.box.x2 * x, detection.box.y2 * y};
    }
  }
  return detections;
}

// This rank's images, added to `evaluator`.
Status EvaluateShare(Detector& detector, const Dataset& data, int64_t batch_size, Precision precision, Device& device,
                     int rank, int world, DetectionEvaluator* evaluator, FaultLog* faults) {
  std::vector<Sample> samples;
  const auto flush = [&]() -> Status {
    if (samples.empty()) return absl::OkStatus();
    std::vector<const Image*> images;
    for (const Sample& sample : samples) images.push_back(&sample.image);
    TRIREME_ASSIGN_OR_RETURN(const std::vector<Detections> detections,
                             DetectImages(detector, images, precision, device));
    for (size_t i = 0; i < samples.size(); ++i) evaluator->Add(samples[i].id, samples[i].objects, detections[i]);
    samples.clear();
    return absl::OkStatus();
  };
  for (int64_t index = rank; index < data.size(); index += world) {
    Sample sample;
    if (const Status read = data.Get(index, &sample); !read.ok()) {
      faults->Add("image does not decode", sample.name.empty() ? absl::StrCat("image ", index) : sample.name,
                  absl::StrCat(read.message(), "; left out of the evaluation"));
      continue;
    }
    samples.push_back(std::move(sample));
    if (static_cast<int64_t>(samples.size()) == batch_size) TRIREME_RETURN_IF_ERROR(flush());
  }
  return flush();
}

EvaluationReport MakeReport(const DetectionEvaluator& evaluator, const std::vector<std::string>& class_names,
                            bool voc2007) {
  const VocResult voc = evaluator.EvaluateVoc(0.5, voc2007);
  EvaluationReport report = {{"mAP50", voc.mean_average_precision}, {"mAP", evaluator.EvaluateCoco().ap}};
  for (size_t label = 0; label < class_names.size(); ++label) {
    const double precision = voc.classes[label].average_precision;
    // A class without objects has none.
    if (std::isfinite(precision)) report.emplace_back("AP50/" + class_names[label], precision);
  }
  return report;
}

}  // namespace

StatusOr<EvaluationReport> EvaluateDetector(Detector& detector, const Dataset& data, const EvaluationConfig& config,
                                            Precision precision, Device& device, Communicator& communicator,
                                            FaultLog* faults) {
  const int num_classes = static_cast<int>(data.class_names().size());
  DetectionEvaluator evaluator(num_classes);
  // A rank that fails still takes part in the exchange, so that its peers hear of it.
  const Status mine = EvaluateShare(detector, data, config.batch_size(), precision, device, communicator.rank(),
                                    communicator.size(), &evaluator, faults);
  if (!mine.ok()) {
    communicator.Abort(mine);
    return mine;
  }
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> shares,
                           AllGatherStrings(communicator, evaluator.Serialize(), device));
  for (int rank = 0; rank < communicator.size(); ++rank) {
    if (rank != communicator.rank()) TRIREME_RETURN_IF_ERROR(evaluator.Merge(shares[static_cast<size_t>(rank)]));
  }
  return MakeReport(evaluator, data.class_names(), config.voc2007());
}

StatusOr<Detections> DetectImage(Detector& detector, const Image& image, Precision precision, Device& device) {
  TRIREME_ASSIGN_OR_RETURN(std::vector<Detections> detections, DetectImages(detector, {&image}, precision, device));
  return std::move(detections[0]);
}

StatusOr<std::vector<std::string>> WritePictures(Detector& detector, const Dataset& data, int count, float threshold,
                                                 Precision precision, Device& device, const std::string& folder) {
  TRIREME_RETURN_IF_ERROR(MakeFolder(folder));
  std::vector<std::string> paths;
  for (int64_t index = 0; index < std::min<int64_t>(count, data.size()); ++index) {
    Sample sample;
    if (!data.Get(index, &sample).ok()) continue;  // the evaluation has counted it
    TRIREME_ASSIGN_OR_RETURN(Detections detections, DetectImage(detector, sample.image, precision, device));
    detections.erase(std::remove_if(detections.begin(), detections.end(),
                                    [&](const Detection& detection) { return detection.score < threshold; }),
                     detections.end());
    // Small pictures are enlarged, so that lines and labels can be read.
    const int factor = std::max(1, 400 / std::max(1, sample.image.width));
    Image annotated = ResizeImage(sample.image, sample.image.width * factor, sample.image.height * factor);
    Image found = annotated;
    const auto enlarge = [factor](Box* box) {
      const float f = static_cast<float>(factor);
      *box = {box->x1 * f, box->y1 * f, box->x2 * f, box->y2 * f};
    };
    for (Object& object : sample.objects) enlarge(&object.box);
    for (Detection& detection : detections) enlarge(&detection.box);
    DrawObjects(sample.objects, data.class_names(), &annotated);
    DrawDetections(detections, data.class_names(), &found);
    paths.push_back(absl::StrFormat("%s/%03d.jpg", folder, index));
    TRIREME_RETURN_IF_ERROR(WriteImage(paths.back(), SideBySide(annotated, found)));
  }
  return paths;
}

}  // namespace trireme
