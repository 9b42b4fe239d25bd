// To be preloaded (LD_PRELOAD) on a machine with a GPU: from the sixth launch of a captured step on, the CUDA runtime
// answers as for a GPU that fell off the bus, to whatever of it the program asks for.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

enum { kUnknownError = 999, kLaunchesBefore = 5 };  // cudaErrorUnknown

static int launches = 0;

static int is_gone(void) { return launches > kLaunchesBefore; }

#define FORWARD(name, parameters, arguments)                    \
  int name parameters {                                         \
    static int(*real) parameters = NULL;                        \
    if (is_gone()) return kUnknownError;                        \
    if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name); \
    return real arguments;                                      \
  }

typedef void* Handle;

int cudaGraphLaunch(Handle graph, Handle stream) {
  static int (*real)(Handle, Handle) = NULL;
  if (++launches > kLaunchesBefore) return kUnknownError;
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "cudaGraphLaunch");
  return real(graph, stream);
}
FORWARD(cudaGetLastError, (void), ())
FORWARD(cudaPeekAtLastError, (void), ())
FORWARD(cudaDeviceSynchronize, (void), ())
FORWARD(cudaStreamSynchronize, (Handle stream), (stream))
FORWARD(cudaStreamWaitEvent, (Handle stream, Handle event, unsigned flags), (stream, event, flags))
FORWARD(cudaEventSynchronize, (Handle event), (event))
FORWARD(cudaEventRecord, (Handle event, Handle stream), (event, stream))
FORWARD(cudaMalloc, (void** to, size_t bytes), (to, bytes))
FORWARD(cudaHostAlloc, (void** to, size_t bytes, unsigned flags), (to, bytes, flags))
FORWARD(cudaFree, (void* pointer), (pointer))
FORWARD(cudaMemcpyAsync, (void* to, const void* from, size_t bytes, int kind, Handle stream),
        (to, from, bytes, kind, stream))
FORWARD(cudaMemsetAsync, (void* to, int value, size_t bytes, Handle stream), (to, value, bytes, stream))
