// oneDNN, versions 2 and 3, behind one interface: the two differ in how a primitive is described. Host only;
// private to core/ops.
#ifndef TRIREME_CORE_OPS_ONEDNN_H_
#define TRIREME_CORE_OPS_ONEDNN_H_

#include <oneapi/dnnl/dnnl.hpp>

#include "core/device/device.h"

namespace trireme::ops::onednn {

// The one CPU engine of the process.
dnnl::engine& Engine();
// A stream of the calling thread's own: oneDNN's streams are not for several threads.
dnnl::stream& ThisThreadStream();

using Memory = dnnl::memory;
using MemoryDesc = dnnl::memory::desc;

// float32 with these strides (in elements).
MemoryDesc Strided(const Memory::dims& dims, const Memory::dims& strides);
// float32 in the layout that oneDNN likes best.
MemoryDesc Any(const Memory::dims& dims);

Memory::dims DimsOf(const MemoryDesc& desc);

// What a convolution computes on. Dimensions are oneDNN's: source NCHW, weights OIHW or GOIHW.
struct Convolution {
  MemoryDesc source, weights, bias, destination;  // bias.is_zero(): none
  Memory::dims strides, dilations, padding_left, padding_right;
  bool relu = false;
  bool winograd = false;
};

// May throw dnnl::error where this build has no such kernel. Scratchpads are the user's.
dnnl::convolution_forward::primitive_desc Forward(const Convolution& c);
dnnl::convolution_backward_data::primitive_desc BackwardData(const Convolution& c);
dnnl::convolution_backward_weights::primitive_desc BackwardWeights(const Convolution& c);

}  // namespace trireme::ops::onednn

#endif  // TRIREME_CORE_OPS_ONEDNN_H_
