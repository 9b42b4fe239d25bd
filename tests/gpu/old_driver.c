// Stands in for libcuda.so.1 of a driver that serves CUDA 12.0: the CUDA runtime asks it for its version first.
int cuDriverGetVersion(int* version) {
  *version = 12000;
  return 0;
}
int cuInit(unsigned flags) {
  (void)flags;
  return 0;
}
