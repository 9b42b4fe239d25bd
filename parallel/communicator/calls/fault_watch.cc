#include "parallel/communicator/calls/fault_watch.h"

#include <pthread.h>

#include <chrono>
#include <utility>

namespace trireme {

FaultWatch::FaultWatch(std::shared_ptr<Store> store, int rank, int size)
    : store_(std::move(store)), rank_(rank), size_(size) {}

FaultWatch::~FaultWatch() { Stop(); }

void FaultWatch::Start(const std::string& thread_name, double seconds, std::function<void(const Status& fault)> look) {
  thread_ = std::thread([this, thread_name, seconds, look = std::move(look)] {
    pthread_setname_np(pthread_self(), thread_name.c_str());
    Run(seconds, look);
  });
}

void FaultWatch::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status FaultWatch::fault() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return fault_;
}

Status FaultWatch::Fail(const Status& fault) {
  const JobFault first = store_->ReportFault(rank_, fault);
  Set(size_ > 1 ? DescribeFault(first) : first.status);
  return this->fault();
}

void FaultWatch::Set(const Status& fault) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!fault_.ok()) return;
  fault_ = fault;
  changed_.notify_all();
}

void FaultWatch::Run(double seconds, const std::function<void(const Status& fault)>& look) {
  const auto pause = std::chrono::duration<double>(seconds);
  std::unique_lock<std::mutex> lock(mutex_);
  for (bool seen = false;;) {
    changed_.wait_for(lock, pause, [&] { return stopping_ || (!seen && !fault_.ok()); });
    if (stopping_) return;
    seen = !fault_.ok();
    lock.unlock();
    if (!seen) {
      if (const auto first = store_->fault()) Set(DescribeFault(*first));
    }
    look(fault());
    lock.lock();
  }
}

}  // namespace trireme
