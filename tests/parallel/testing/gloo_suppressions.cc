// ThreadSanitizer cannot see into the system's libgloo, whose threads hand buffers over by atomics: it takes their ends
// for races. Without the sanitizer nobody calls this.
extern "C" const char* __tsan_default_suppressions() {
  return "race:libgloo.so\n"
         "race:gloo::\n";
}
