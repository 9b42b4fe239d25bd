// TRIREME_HD marks a function that CPU and GPU share: one body, compiled by g++ or by nvcc.
#ifndef TRIREME_CORE_BASE_HOST_DEVICE_H_
#define TRIREME_CORE_BASE_HOST_DEVICE_H_

#ifdef __CUDACC__
#define TRIREME_HD __host__ __device__
#else
#define TRIREME_HD
#endif

#endif  // TRIREME_CORE_BASE_HOST_DEVICE_H_
