// The weights of a model as arrays by name: what model.safetensors and initial_weights hold.
#ifndef TRIREME_CORE_TRAIN_WEIGHTS_H_
#define TRIREME_CORE_TRAIN_WEIGHTS_H_

#include <string>

#include "core/base/status.h"
#include "core/nn/parameter_arena.h"
#include "core/train/safetensors.h"

namespace trireme {

// Parameters and buffers.
SafetensorsContent WeightsOf(const ParameterArena& arena);

// Whether a file is one that WeightsOf made, so that its filters are laid out as ours.
bool IsOwnFormat(const SafetensorsContent& content);

// The first array with values that are not finite; null if there is none.
const NamedArray* FindNotFinite(const SafetensorsContent& content);

// Parameters and buffers from arrays, which `source` names in messages. All names and shapes that are missing, unknown
// or different are listed in one InvalidArgument, and nothing is set then; files of other programs are refused, and
// values that are not finite.
Status SetWeights(const SafetensorsContent& content, const std::string& source, ParameterArena* arena);

// The same from a safetensors file.
Status LoadWeights(const std::string& safetensors_file, ParameterArena* arena);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_WEIGHTS_H_
