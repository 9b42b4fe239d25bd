// Stands in for the CUDA runtime on a machine without a GPU, in a program that links this library: the CUDA device,
// with its streams, events, pools and captures, runs as it would, on host memory, and kernels do nothing. What can be
// seen by it is whether CUDA is called by its rules, and what comes of a call that fails; not what is computed.
//
// There are two devices. Copies, fills and host functions are done at once, or when a graph that captured them is
// launched. Rules that are kept, each by the error that CUDA has for it:
//   * a kernel is launched, and an event recorded, on a stream of the thread's current device;
//   * a launch is within the limits of a grid and a block;
//   * in a capture no host waits, no memory is taken or given back (but in relaxed mode), no event from outside is
//   waited
//     for, and the stream that began it has waited for all others in the end; what breaks this spoils the capture;
//   * what is used or destroyed exists.
//
// Thread-safe. Only in a build with CUDA.
#ifndef TRIREME_TESTS_GPU_STAND_IN_CUDA_RUNTIME_H_
#define TRIREME_TESTS_GPU_STAND_IN_CUDA_RUNTIME_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::testing {

struct CudaFault {
  int64_t call = 0;  // counted from 1 over all calls that can fail; 0: none
  cudaError_t error = cudaErrorUnknown;
  bool lasts = true;  // all later calls fail so, too
};

// From here on, with no call counted yet and no error remembered.
void StartCudaStandIn(const CudaFault& fault = {});
int64_t CudaStandInCalls();
// Which function the call of the fault was; empty if there was none.
std::string CudaStandInFaultyFunction();

// What was made and not destroyed: "2 streams", "1 page-locked block". Empty after a device has ended as it should.
std::vector<std::string> CudaStandInLeftovers();
// Whatever was done against the rules, faults aside.
std::vector<std::string> CudaStandInOffences();
// Launches of graphs so far.
int64_t CudaStandInGraphLaunches();

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_GPU_STAND_IN_CUDA_RUNTIME_H_
