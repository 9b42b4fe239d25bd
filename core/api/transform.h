// The contract of a transform: one step of augmentation, applied to a sample on a loader's thread.
//
// Transforms run in the order of the config; then the loader stretches the image to what the detector takes. A
// transform does not touch pixels: it adds to the sample's plan what is to be done (ShowWindow for crops, larger
// canvases and stretches, plan.MirrorLeftRight and its like, AddColour) and moves the boxes accordingly. The loader
// carries the whole plan out in one pass, on the device where that is not the CPU.
//
// A transform that needs pixels asks for them, at the cost of a pass of its own:
//
//     Image image = sample->Materialise();  // the image so far; this copies it
//     ...change it...
//     sample->SetImage(std::move(image));
//
// All randomness comes from the Random they are handed, which the loader names by (seed, epoch, image): so a sample
// does not depend on which worker or thread made it. Boxes stay inside the image, or the object is removed.
//
// A transform may put several images together: it takes the others from BuildArgs::dataset, by indices that it draws,
// as they are before any transform. Objects may be more then, and max_objects says how many.
#ifndef TRIREME_CORE_API_TRANSFORM_H_
#define TRIREME_CORE_API_TRANSFORM_H_

#include "core/api/dataset.h"
#include "core/api/sample.h"
#include "core/base/fault_log.h"
#include "core/base/random.h"

namespace trireme {

class Transform {
 public:
  static constexpr const char kKind[] = "transform";
  // Both outlive the transform.
  struct BuildArgs {
    const Dataset* dataset = nullptr;  // that is trained on
    FaultLog* faults = nullptr;        // for images of it that cannot be read
  };

  virtual ~Transform() = default;

  // What Apply leaves at most of a sample with at most `before` objects; no less than that.
  virtual int max_objects(int before) const { return before; }

  // Thread-safe: the transform itself holds no state that changes.
  virtual void Apply(Sample* sample, Random* random) const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_TRANSFORM_H_
