// Runs the train tool as a process of its own, so that a run that fails, dies or hangs is a row and not the end.
#ifndef TRIREME_TOOLS_COMPARE_RUN_TRAIN_H_
#define TRIREME_TOOLS_COMPARE_RUN_TRAIN_H_

#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

// The train tool that belongs to this program. NotFound if there is none.
StatusOr<std::string> FindTrainTool();

// Runs `train` with `arguments`; what it prints goes to `log`. OK if it ended well; else its own last sentence.
// DeadlineExceeded, after killing it, if it takes longer than `seconds`; Cancelled if this program was asked to stop.
Status RunTrain(const std::string& train, const std::vector<std::string>& arguments, const std::string& log,
                double seconds);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARE_RUN_TRAIN_H_
