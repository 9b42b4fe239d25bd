#include "tests/core/testing/async_scheduler.h"

#include <glog/logging.h>
#include <omp.h>

#include <algorithm>

#include "core/device/device.h"

namespace trireme::testing {
namespace {

// Work that runs for longer is taken to wait for somebody.
constexpr auto kPatience = std::chrono::milliseconds(20);

thread_local bool within_work = false;

}  // namespace

bool AsyncScheduler::IsWithinWork() { return within_work; }

AsyncScheduler::~AsyncScheduler() {
  while (!lanes_.empty()) RemoveLane(lanes_.back().get());
}

Lane* AsyncScheduler::AddLane(const std::string& name, int threads) {
  Lock lock(mutex_);
  lanes_.push_back(std::make_unique<Lane>());
  Lane* lane = lanes_.back().get();
  lane->name = name;
  lane->threads = threads;
  lane->thread = std::thread([this, lane] { Loop(lane); });
  return lane;
}

void AsyncScheduler::RemoveLane(Lane* lane) {
  std::unique_ptr<Lane> removed;
  {
    Lock lock(mutex_);
    RunWhile(&lock, [lane] { return lane->running || !lane->steps.empty(); }).IgnoreError();
    if (favourite_ == lane) favourite_ = nullptr;
    const auto found = std::find_if(lanes_.begin(), lanes_.end(), [&](const auto& l) { return l.get() == lane; });
    CHECK(found != lanes_.end());
    removed = std::move(*found);
    lanes_.erase(found);
    lane->stopping = true;
    lane->told.notify_all();
  }
  removed->thread.join();
}

void AsyncScheduler::Push(Lane* lane, LaneStep step) {
  Lock lock(mutex_);
  lane->steps.push_back(std::move(step));
  changed_.notify_all();
}

Status AsyncScheduler::RunUntil(const std::shared_ptr<Recording>& recording) {
  Lock lock(mutex_);
  return RunWhile(&lock, [&] { return !recording->done; });
}

Status AsyncScheduler::Drain() {
  Lock lock(mutex_);
  return RunWhile(&lock, [this] {
    return std::any_of(lanes_.begin(), lanes_.end(),
                       [](const auto& lane) { return lane->running || !lane->steps.empty(); });
  });
}

int64_t AsyncScheduler::pending() const {
  Lock lock(mutex_);
  int64_t count = 0;
  for (const auto& lane : lanes_) {
    for (const LaneStep& step : lane->steps)
      count += step.run != nullptr && !(lane->running && &step == &lane->steps.front());
  }
  return count;
}

void AsyncScheduler::Fail(const Status& fault) {
  Lock lock(mutex_);
  if (fault_.ok()) fault_ = fault;
}

Status AsyncScheduler::RunWhile(Lock* lock, const std::function<bool()>& unfinished) {
  CHECK(!within_work) << "work on a stream waited for a stream of a fake device";
  while (true) {
    PassPoints();
    if (!unfinished()) return fault_;
    const auto now = std::chrono::steady_clock::now();
    bool busy = false, any_running = false;
    for (const auto& lane : lanes_) {
      any_running |= lane->running;
      busy |= lane->running && now - lane->running_since < kPatience;
    }
    Lane* const next = busy ? nullptr : PickLane();
    if (next != nullptr) {
      next->running = true;
      next->running_since = now;
      next->told.notify_all();
    } else {
      CHECK(any_running) << "streams of a fake device wait for one another";
      changed_.wait_for(*lock, kPatience);
    }
  }
}

// Recording and waiting take no time: they happen where they can.
void AsyncScheduler::PassPoints() {
  bool passed = true;
  while (passed) {
    passed = false;
    for (const auto& lane : lanes_) {
      while (!lane->running && !lane->steps.empty()) {
        LaneStep& step = lane->steps.front();
        if (step.run != nullptr || (step.wait != nullptr && !step.wait->done)) break;
        if (step.record != nullptr) step.record->done = true;
        lane->steps.pop_front();
        passed = true;
      }
    }
  }
}

Lane* AsyncScheduler::PickLane() {
  std::vector<Lane*> ready;
  for (const auto& lane : lanes_) {
    if (!lane->running && !lane->steps.empty() && lane->steps.front().run != nullptr) ready.push_back(lane.get());
  }
  if (ready.empty()) return nullptr;
  // In bursts: were each pick independent, no lane would ever get far ahead.
  const bool stays = std::find(ready.begin(), ready.end(), favourite_) != ready.end() && random_() % 8 != 0;
  if (!stays) favourite_ = ready[random_() % ready.size()];
  return favourite_;
}

void AsyncScheduler::Loop(Lane* lane) {
  within_work = true;
  omp_set_num_threads(lane->threads);
  Lock lock(mutex_);
  while (true) {
    lane->told.wait(lock, [lane] { return lane->running || lane->stopping; });
    if (!lane->running) return;
    std::function<void()> work = std::move(lane->steps.front().run);
    const bool skipped = !fault_.ok();
    lock.unlock();
    const Status status = skipped ? absl::OkStatus() : CatchDeviceError([&work] {
      work();
      return absl::OkStatus();
    });
    work = nullptr;  // frees tensors, which pushes steps
    lock.lock();
    if (fault_.ok()) fault_ = status;
    lane->steps.pop_front();
    lane->running = false;
    changed_.notify_all();
  }
}

}  // namespace trireme::testing
