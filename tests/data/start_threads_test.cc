#include "data/loader/start_threads.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "data/loader/read_ahead.h"

namespace trireme {
namespace {

// Of address space: a thread's stack takes 8 MiB of it.
void LeaveRoomFor(int64_t bytes) {
  long pages = 0;
  FILE* const file = fopen("/proc/self/statm", "r");
  CHECK(file != nullptr && fscanf(file, "%ld", &pages) == 1);
  fclose(file);
  rlimit limit = {};
  limit.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + bytes);
  limit.rlim_max = RLIM_INFINITY;
  CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

// 0 if all went as it should. Others end the process.
int ReadWithAsManyThreadsAsThereAre() {
  std::atomic<int> run{0};
  std::vector<std::thread> threads;
  LeaveRoomFor(int64_t{100} << 20);
  const Status started = StartThreads(
      1000, [&run] { ++run; }, &threads);
  for (std::thread& thread : threads) thread.join();
  if (!started.ok() || threads.empty() || threads.size() >= 1000 || run != static_cast<int>(threads.size())) return 1;
  ReadAhead<int> reader(100, 1000, 5, [](int64_t index) { return static_cast<int>(index); });
  int value = 0;
  for (int i = 0; i < 100; ++i) {
    if (!reader.Next(&value) || value != i) return 2;
  }
  return reader.done() ? 0 : 3;
}

int ReadWithoutThreads() {
  std::vector<std::thread> threads;
  threads.reserve(4);
  LeaveRoomFor(0);
  if (!absl::IsResourceExhausted(StartThreads(
          4, [] {}, &threads)) ||
      !threads.empty())
    return 1;
  ReadAhead<int> reader(9, 2, 3, [](int64_t index) { return static_cast<int>(index); });
  int value = 0;
  for (int i = 0; i < 9; ++i) {
    const bool took = i % 2 == 0 ? reader.Next(&value) : reader.NextWithin(0, &value);
    if (!took || value != i) return 2;
  }
  return reader.Next(&value) ? 3 : 0;
}

TEST(StartThreadsTest, FewerThanAskedForHaveToDo) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(_exit(ReadWithAsManyThreadsAsThereAre()), testing::ExitedWithCode(0), "only [0-9]+ of 1000 threads");
  EXPECT_EXIT(_exit(ReadWithoutThreads()), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace trireme
