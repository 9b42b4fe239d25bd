#include "core/device/host_block.h"

#include <glog/logging.h>
#include <pthread.h>

#include <atomic>
#include <thread>
#include <vector>

namespace trireme {
namespace {

std::atomic<int> scoped_threads{0};

}  // namespace

struct HostBlock::Group {
  explicit Group(int threads) : sums(threads), values(threads) {
    CHECK_EQ(pthread_barrier_init(&barrier, nullptr, static_cast<unsigned>(threads)), 0);
  }
  ~Group() { pthread_barrier_destroy(&barrier); }

  pthread_barrier_t barrier;
  std::vector<int32_t> sums;
  std::vector<uint64_t> values;
};

int HostBlock::size() const { return static_cast<int>(group_.sums.size()); }

void HostBlock::Sync() { pthread_barrier_wait(&group_.barrier); }

int32_t HostBlock::ExclusiveSum(int32_t value, int32_t* total) {
  group_.sums[rank_] = value;
  Sync();
  int32_t before = 0;
  *total = 0;
  for (int i = 0; i < size(); ++i) {
    if (i < rank_) before += group_.sums[i];
    *total += group_.sums[i];
  }
  Sync();
  return before;
}

uint64_t HostBlock::Largest(uint64_t value) {
  group_.values[rank_] = value;
  Sync();
  uint64_t largest = 0;
  for (uint64_t other : group_.values) largest = other > largest ? other : largest;
  Sync();
  return largest;
}

void RunHostBlock(int threads, absl::FunctionRef<void(HostBlock& block)> body) {
  CHECK_GT(threads, 0);
  HostBlock::Group group(threads);
  std::vector<std::thread> others;
  for (int rank = 1; rank < threads; ++rank) {
    others.emplace_back([&group, &body, rank] {
      HostBlock block(group, rank);
      body(block);
    });
  }
  HostBlock block(group, 0);
  body(block);
  for (std::thread& other : others) other.join();
}

ScopedHostBlocks::ScopedHostBlocks(int threads) : before_(scoped_threads.exchange(threads)) {}
ScopedHostBlocks::~ScopedHostBlocks() { scoped_threads = before_; }

int HostBlockThreads() { return scoped_threads; }

}  // namespace trireme
