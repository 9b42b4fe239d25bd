// dataset/shapes: scenes that need no download and never run out, for first runs, tests and benchmarks.
//
// A scene has a few shapes of random class, place, size, rotation, colours and texture over a gradient with
// noise, lines and soft blobs; shapes hide parts of one another and may reach over the border. Class and colour
// are independent: only the outline tells. A box is the tight extent of the shape's pixels within the image,
// hidden ones included.
//
// Scene `index` is a pure function of (seed, index): Random(seed, RandomUse::kSynthesis, index). Get never fails
// and is safe from any thread. The factory refuses senseless configs with InvalidArgument.
#ifndef TRIREME_DATA_SHAPES_SHAPES_H_
#define TRIREME_DATA_SHAPES_SHAPES_H_

#include <memory>

#include "core/api/dataset.h"
#include "data/shapes/shapes.pb.h"

namespace trireme {

StatusOr<std::unique_ptr<Dataset>> MakeShapes(const ShapesDatasetConfig& config, const Dataset::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_DATA_SHAPES_SHAPES_H_
