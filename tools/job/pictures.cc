#include "tools/job/pictures.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "core/train/rank_zero_work.h"
#include "data/image/codec.h"
#include "data/image/draw.h"
#include "tools/job/enlarge.h"

namespace trireme {
namespace {

Status WritePicture(const ReadyDetector& ready, const Dataset& data, int64_t index, float threshold,
                    const std::string& folder) {
  Sample sample;
  if (!data.Get(index, &sample).ok()) return absl::OkStatus();  // the evaluation has counted it
  const Image& image = *sample.source;
  TRIREME_ASSIGN_OR_RETURN(Detections detections, DetectImage(ready, image));
  detections.erase(std::remove_if(detections.begin(), detections.end(),
                                  [&](const Detection& detection) { return detection.score < threshold; }),
                   detections.end());
  Image annotated = Enlarge(image);
  Image found = annotated;
  const float factor = static_cast<float>(EnlargementOf(image));
  for (Object& object : sample.objects) Enlarge(factor, &object.box);
  for (Detection& detection : detections) Enlarge(factor, &detection.box);
  DrawObjects(sample.objects, data.class_names(), &annotated);
  DrawDetections(detections, data.class_names(), &found);
  return WriteImage(absl::StrFormat("%s/%03d.jpg", folder, index), SideBySide(annotated, found));
}

}  // namespace

Status WritePictures(const ReadyDetector& ready, const Dataset& data, int count, float threshold,
                     Communicator& communicator, const std::string& folder) {
  const bool leads = communicator.rank() == 0;
  const int64_t pictures = std::min<int64_t>(count, data.size());
  Status status = leads ? MakeFolder(folder) : absl::OkStatus();
  for (int64_t index = 0;; ++index) {
    TRIREME_ASSIGN_OR_RETURN(const bool more,
                             RankZeroHasMore(communicator, ready.device, leads && status.ok() && index < pictures));
    if (!more) return status;
    if (leads) {
      status = CatchDeviceError([&] { return WritePicture(ready, data, index, threshold, folder); });
    }
  }
}

}  // namespace trireme
