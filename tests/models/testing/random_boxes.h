// Boxes for property tests.
#ifndef TRIREME_TESTS_MODELS_TESTING_RANDOM_BOXES_H_
#define TRIREME_TESTS_MODELS_TESTING_RANDOM_BOXES_H_

#include "core/api/sample.h"
#include "core/base/random.h"

namespace trireme {

// Sides from `least` to `most`, the centre within [0, extent) x [0, extent).
inline Box RandomBox(Random* random, float extent, float least, float most) {
  const float x = random->Uniform(0, extent), y = random->Uniform(0, extent);
  const float width = random->Uniform(least, most), height = random->Uniform(least, most);
  Box box;
  box.x1 = x - width / 2;
  box.y1 = y - height / 2;
  box.x2 = x + width / 2;
  box.y2 = y + height / 2;
  return box;
}

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_RANDOM_BOXES_H_
