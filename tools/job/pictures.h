// Pictures of what a detector finds.
#ifndef TRIREME_TOOLS_JOB_PICTURES_H_
#define TRIREME_TOOLS_JOB_PICTURES_H_

#include <string>

#include "core/api/communicator.h"
#include "core/api/dataset.h"
#include "tools/job/detect_images.h"

namespace trireme {

// Writes the first `count` images of `data` as `folder`/NNN.jpg, each twice side by side: with what is annotated, and
// with what the detector finds (score from `threshold`). Collective: rank 0 does so, and its peers wait, for each
// picture as long as they may. What is wrong is rank 0's status alone.
Status WritePictures(const ReadyDetector& ready, const Dataset& data, int count, float threshold,
                     Communicator& communicator, const std::string& folder);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_PICTURES_H_
