// The functions of single values that stand behind a layer.
#ifndef TRIREME_CORE_OPS_ACTIVATION_H_
#define TRIREME_CORE_OPS_ACTIVATION_H_

namespace trireme::ops {

enum class Activation {
  kNone,
  kRelu,       // max(0, z)
  kLeakyRelu,  // z where that is positive, else z / 10: Darknet's
  kRelu6,      // min(max(0, z), 6): Howard et al.: MobileNets, 2017
  kHardSwish,  // z min(max(0, z + 3), 6) / 6: Howard et al.: Searching for MobileNetV3, 2019 (section 5.2)
  kSilu,       // z / (1 + exp(-z)): Elfwing, Uchibe, Doya 2018; also called swish
};

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_ACTIVATION_H_
