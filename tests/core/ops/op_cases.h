// Every function of core/ops but convolutions and losses' definitions, on small inputs of odd shapes, as a table: for
// tests that have to hold for each of them.
#ifndef TRIREME_TESTS_CORE_OPS_OP_CASES_H_
#define TRIREME_TESTS_CORE_OPS_OP_CASES_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "core/autograd/tape.h"

namespace trireme::testing {

struct OpInput {
  Shape shape;
  float low = -1, high = 1;
  bool float32 = false;  // whatever the type of activations: a parameter of a norm
};

struct OpCase {
  std::string name;
  std::vector<OpInput> inputs;
  std::function<Var(Context&, const std::vector<Var>&)> function;
  bool float32 = false;  // takes nothing else
};

inline std::ostream& operator<<(std::ostream& out, const OpCase& op) { return out << op.name; }

std::vector<OpCase> OpCases();

struct OpResult {
  DataType type;  // of the output
  std::vector<float> output;
  std::vector<std::vector<float>> gradients;  // of the inputs
};

// Forward and backward in training mode. Inputs and the gradient of the output are random numbers that all three
// floating-point types have, the same for every device and type.
OpResult RunOp(const OpCase& op, Device& device, DataType type);

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_OPS_OP_CASES_H_
