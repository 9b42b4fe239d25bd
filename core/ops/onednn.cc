#include "core/ops/onednn.h"

#include <glog/logging.h>

namespace trireme::ops::onednn {
namespace {

using dnnl::algorithm;
using dnnl::prop_kind;

algorithm Algorithm(const Convolution& c) {
  return c.winograd ? algorithm::convolution_winograd : algorithm::convolution_direct;
}

dnnl::primitive_attr Attributes(const Convolution& c) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (c.relu) {
    dnnl::post_ops post;
#if DNNL_VERSION_MAJOR >= 3
    post.append_eltwise(algorithm::eltwise_relu, 0.0f, 0.0f);
#else
    post.append_eltwise(1.0f, algorithm::eltwise_relu, 0.0f, 0.0f);
#endif
    attributes.set_post_ops(post);
  }
  return attributes;
}

#if DNNL_VERSION_MAJOR >= 3

dnnl::convolution_forward::primitive_desc ForwardDesc(const Convolution& c, const dnnl::primitive_attr& attributes) {
  return {Engine(),        prop_kind::forward_training,
          Algorithm(c),    c.source,
          c.weights,       c.bias,
          c.destination,   c.strides,
          c.dilations,     c.padding_left,
          c.padding_right, attributes};
}

#else

dnnl::convolution_forward::primitive_desc ForwardDesc(const Convolution& c, const dnnl::primitive_attr& attributes) {
  const dnnl::convolution_forward::desc desc(prop_kind::forward_training, Algorithm(c), c.source, c.weights, c.bias,
                                             c.destination, c.strides, c.dilations, c.padding_left, c.padding_right);
  return {desc, attributes, Engine()};
}

#endif

// oneDNN 2.6's AVX-512 kernel for strided 1x1 filters gathers the input into scratchpad with channels rounded up to
// 16, but asks for scratchpad without the rounding: with two threads it writes past the end, and threads write over
// one another. Any other kernel will do.
bool OverrunsScratchpad(const Convolution& c) {
  const int64_t channels = DimsOf(c.source)[1];
  const Memory::dims filters = DimsOf(c.weights);
  const bool is_1x1 = filters.end()[-1] == 1 && filters.end()[-2] == 1;
  const bool is_strided = c.strides[0] > 1 || c.strides[1] > 1;
  return is_1x1 && is_strided && channels % 16 != 0;
}

}  // namespace

dnnl::engine& Engine() {
  static auto* const engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::stream& ThisThreadStream() {
  static thread_local dnnl::stream stream(Engine());
  return stream;
}

MemoryDesc Strided(const Memory::dims& dims, const Memory::dims& strides) {
  return MemoryDesc(dims, Memory::data_type::f32, strides);
}

MemoryDesc Any(const Memory::dims& dims) { return MemoryDesc(dims, Memory::data_type::f32, Memory::format_tag::any); }

Memory::dims DimsOf(const MemoryDesc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return desc.get_dims();
#else
  return desc.dims();
#endif
}

dnnl::convolution_forward::primitive_desc Forward(const Convolution& c) { return ForwardDesc(c, Attributes(c)); }

dnnl::convolution_backward_data::primitive_desc BackwardData(const Convolution& c) {
  const dnnl::primitive_attr attributes = Attributes(c);
  const auto hint = ForwardDesc(c, attributes);
#if DNNL_VERSION_MAJOR >= 3
  return {Engine(),    Algorithm(c),   c.source,        c.weights, c.destination, c.strides,
          c.dilations, c.padding_left, c.padding_right, hint,      attributes};
#else
  const dnnl::convolution_backward_data::desc desc(Algorithm(c), c.source, c.weights, c.destination, c.strides,
                                                   c.dilations, c.padding_left, c.padding_right);
  return {desc, attributes, Engine(), hint};
#endif
}

dnnl::convolution_backward_weights::primitive_desc BackwardWeights(const Convolution& c) {
  const dnnl::primitive_attr attributes = Attributes(c);
  const auto hint = ForwardDesc(c, attributes);
#if DNNL_VERSION_MAJOR >= 3
  dnnl::convolution_backward_weights::primitive_desc made = {Engine(),        Algorithm(c), c.source,    c.weights,
                                                             c.destination,   c.strides,    c.dilations, c.padding_left,
                                                             c.padding_right, hint,         attributes};
#else
  const dnnl::convolution_backward_weights::desc desc(Algorithm(c), c.source, c.weights, c.destination, c.strides,
                                                      c.dilations, c.padding_left, c.padding_right);
  dnnl::convolution_backward_weights::primitive_desc made(desc, attributes, Engine(), hint);
#endif
  if (OverrunsScratchpad(c)) CHECK(made.next_impl()) << "oneDNN has no second kernel for a strided 1x1 convolution";
  return made;
}

}  // namespace trireme::ops::onednn
