// The three passes of a convolution on CPU, in float32. Storage is NHWC / OHWI outside; what a pass computes on inside
// is its own business. Passes are work of the device's compute stream, which the pointers have to outlive; scratch
// memory is taken at the call, so that its order is that of the calls whenever the stream runs them.
//
// Private to core/ops; any thread.
#ifndef TRIREME_CORE_OPS_CONV_CPU_H_
#define TRIREME_CORE_OPS_CONV_CPU_H_

#include <cstdint>

#include "core/device/device.h"
#include "core/ops/conv_shape.h"

namespace trireme::ops {

// What a pass computes on.
enum class ConvMethod {
  kPlain,            // NHWC as it is
  kBlocked,          // reordered to oneDNN's blocked layouts, and the result back
  kBlockedWinograd,  // the same, by Winograd's minimal filtering F(4 x 4, 3 x 3); AVX-512 and oneDNN 2 only
  kWinograd,         // on NHWC, by code of our own (winograd_cpu.h)
  kProduct,          // on NHWC, as a matrix product (product_conv_cpu.h); backward passes of what IsProduct
};

// A table that was made from measurements, not a timing: a process that goes on from a checkpoint must
// compute the same bits as the one that wrote it, and all workers the same as each other.
ConvMethod ChooseConvMethod(const ConvShape& shape, ConvPass pass);

// One pass by a method of the caller's choice, for benchmarks and tests: throws dnnl::error if there is no such kernel.
// Inputs are in the order of the functions below.
void RunConvCpu(Device& device, const ConvShape& shape, ConvPass pass, ConvMethod method, const float* first,
                const float* second, float* output);

// `bias` may be null. Overwrites `output`.
void ConvForwardCpu(Device& device, const ConvShape& shape, const float* input, const float* weight, const float* bias,
                    bool relu, float* output);
// Overwrites `input_gradient`.
void ConvBackwardDataCpu(Device& device, const ConvShape& shape, const float* output_gradient, const float* weight,
                         float* input_gradient);
// Overwrites `weight_gradient`.
void ConvBackwardWeightsCpu(Device& device, const ConvShape& shape, const float* input, const float* output_gradient,
                            float* weight_gradient);

// Row-major c [m, n] = op(a) op(b) + beta c, where op transposes if told. At once, on the calling thread's team.
void MatmulCpu(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
               float beta, float* c);

// Host work in stream order; on an inline stream without the price of a std::function.
template <class Work>
void EnqueueHostWork(Stream& stream, const Work& work) {
  if (stream.is_inline()) {
    work();
  } else {
    stream.Enqueue(work);
  }
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_CPU_H_
