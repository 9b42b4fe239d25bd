// A contract for tests, with two components: [thing/leaf] and [thing/nest].
#ifndef TRIREME_TESTS_CORE_TESTING_THINGS_H_
#define TRIREME_TESTS_CORE_TESTING_THINGS_H_

#include <string>

#include "core/base/registry.h"

namespace trireme::testing {

class Thing {
 public:
  static constexpr const char kKind[] = "thing";
  struct BuildArgs {
    int extra = 0;
  };
  virtual ~Thing() = default;
  virtual std::string Describe() const = 0;
};

// Nothing implements it.
class OtherThing {
 public:
  static constexpr const char kKind[] = "other_thing";
  struct BuildArgs {};
  virtual ~OtherThing() = default;
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_THINGS_H_
