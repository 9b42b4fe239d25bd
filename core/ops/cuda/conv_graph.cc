#include "core/ops/cuda/conv_graph.h"

namespace trireme::ops::cuda {
namespace {

cudnnDataType_t CudnnType(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return CUDNN_DATA_FLOAT;
    case DataType::kBfloat16:
      return CUDNN_DATA_BFLOAT16;
    case DataType::kFloat16:
      return CUDNN_DATA_HALF;
    default:
      LOG(FATAL) << "no convolutions in " << DataTypeName(type);
      return CUDNN_DATA_FLOAT;
  }
}

// [n, c, h, w] as cuDNN counts dimensions, with channels innermost in memory.
Descriptor ChannelsLast(int64_t id, cudnnDataType_t type, int64_t n, int64_t c, int64_t h, int64_t w,
                        bool intermediate = false) {
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .Set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kOperandAlignment)
      .Set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::vector<int64_t>{n, c, h, w})
      .Set(CUDNN_ATTR_TENSOR_STRIDES, std::vector<int64_t>{h * w * c, 1, w * c, c})
      .Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, intermediate)
      .Finalize();
  return tensor;
}

Descriptor Source(int64_t id, cudnnDataType_t type, const ConvShape& s) {
  return ChannelsLast(id, type, s.batch, s.in_channels, s.in_height, s.in_width);
}

// cuDNN sees the number of groups by the filters' channels.
Descriptor Filters(int64_t id, cudnnDataType_t type, const ConvShape& s) {
  return ChannelsLast(id, type, s.out_channels, s.in_channels / s.groups, s.kernel_height, s.kernel_width);
}

Descriptor Destination(int64_t id, cudnnDataType_t type, const ConvShape& s) {
  return ChannelsLast(id, type, s.batch, s.out_channels, s.out_height, s.out_width);
}

// A result that stays in registers.
Descriptor Intermediate(int64_t id, const ConvShape& s) {
  return ChannelsLast(id, CUDNN_DATA_FLOAT, s.batch, s.out_channels, s.out_height, s.out_width, true);
}

Descriptor Convolution(const ConvShape& s) {
  const std::vector<int64_t> padding = {s.padding, s.padding};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2})
      .Set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .Set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .Set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .Set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .Set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::vector<int64_t>{s.stride, s.stride})
      .Set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::vector<int64_t>{s.dilation, s.dilation})
      .Finalize();
  return convolution;
}

// What the three operations call the same things.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, source, filters, destination, alpha, beta;
};

OperationNames NamesOf(ConvPass pass) {
  switch (pass) {
    case ConvPass::kForward:
      break;
    case ConvPass::kBackwardData:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvPass::kBackwardWeights:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

Descriptor Pointwise(cudnnPointwiseMode_t mode) {
  Descriptor pointwise(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, mode).Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT).Finalize();
  return pointwise;
}

}  // namespace

ConvGraph::ConvGraph(const ConvProblem& problem) : graph_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
  const ConvShape& s = problem.shape;
  const cudnnDataType_t type = CudnnType(problem.type);
  constexpr int64_t kSum = kResult + 1;
  const bool tail = problem.pass == ConvPass::kForward && (problem.bias || problem.relu);
  // Which of the three the pass computes, and which it is given first.
  const bool data = problem.pass == ConvPass::kBackwardData, weights = problem.pass == ConvPass::kBackwardWeights;
  const Descriptor& x = Keep(Source(data ? kResult : kFirstOperand, type, s));
  const Descriptor& w = Keep(Filters(weights ? kResult : kSecondOperand, type, s));
  const int64_t destination = data ? kFirstOperand : weights ? kSecondOperand : kResult;
  const Descriptor& y = Keep(tail ? Intermediate(kSum, s) : Destination(destination, type, s));

  const OperationNames names = NamesOf(problem.pass);
  Descriptor operation(names.type);
  operation.Refer(names.convolution, Keep(Convolution(s)))
      .Refer(names.source, x)
      .Refer(names.filters, w)
      .Refer(names.destination, y)
      .Set(names.alpha, 1.0f)
      .Set(names.beta, 0.0f)
      .Finalize();
  operations_.push_back(&Keep(std::move(operation)));
  if (tail) AddTail(problem, &y);
  graph_.Refer(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_).Finalize();
}

void ConvGraph::AddTail(const ConvProblem& problem, const Descriptor* sum) {
  const ConvShape& s = problem.shape;
  constexpr int64_t kBiased = kResult + 2;
  const Descriptor& result = Keep(Destination(kResult, CudnnType(problem.type), s));
  if (problem.bias) {
    const Descriptor& bias = Keep(ChannelsLast(kBiasOperand, CudnnType(problem.type), 1, s.out_channels, 1, 1));
    const Descriptor& biased = problem.relu ? Keep(Intermediate(kBiased, s)) : result;
    Descriptor add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    add.Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, Keep(Pointwise(CUDNN_POINTWISE_ADD)))
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *sum)
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias)
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, biased)
        .Finalize();
    operations_.push_back(&Keep(std::move(add)));
    sum = &biased;
  }
  if (problem.relu) {
    Descriptor relu(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    relu.Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, Keep(Pointwise(CUDNN_POINTWISE_RELU_FWD)))
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *sum)
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, result)
        .Finalize();
    operations_.push_back(&Keep(std::move(relu)));
  }
}

const Descriptor& ConvGraph::Keep(Descriptor descriptor) {
  parts_.push_back(std::make_unique<Descriptor>(std::move(descriptor)));
  return *parts_.back();
}

}  // namespace trireme::ops::cuda
