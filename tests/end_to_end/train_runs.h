// What tests of several files say of runs of the train command.
#ifndef TRIREME_TESTS_END_TO_END_TRAIN_RUNS_H_
#define TRIREME_TESTS_END_TO_END_TRAIN_RUNS_H_

#include <string>

#include "core/train/checkpoint_folder.h"

namespace trireme {

// The model's file of a run's newest checkpoint, which is there.
inline std::string Model(const std::string& run) { return ModelFile(*FindCheckpoint(run)); }

// For --set: workers that talk by communicator/`name`.
inline std::string CommunicatorOf(const std::string& name) { return "communicator={[communicator/" + name + "] {}}"; }

}  // namespace trireme

#endif  // TRIREME_TESTS_END_TO_END_TRAIN_RUNS_H_
