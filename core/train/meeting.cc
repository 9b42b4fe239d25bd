#include "core/train/meeting.h"

#include <glog/logging.h>

#include <algorithm>

namespace trireme {
namespace {

constexpr size_t kFixedColumns = 8;

void Append(const StepOutcome& outcome, std::vector<float>* to) {
  const WorkerNote& note = outcome.notes[0];
  for (const double value :
       {note.stop ? 1.0 : 0.0, note.data_wait_seconds, note.peer_wait_seconds, note.communication_seconds,
        static_cast<double>(note.bytes_sent), outcome.applied ? 1.0 : 0.0, outcome.loss_scale, outcome.gradient_norm}) {
    to->push_back(static_cast<float>(value));
  }
  to->insert(to->end(), outcome.losses[0].begin(), outcome.losses[0].end());
}

void AddWorker(const float* row, size_t num_losses, size_t workers, StepOutcome* outcome) {
  const bool first = outcome->notes.empty();
  outcome->notes.push_back({row[0] != 0, row[1], row[2], row[3], static_cast<int64_t>(row[4])});
  outcome->applied = (first || outcome->applied) && row[5] != 0;
  if (first) outcome->loss_scale = row[6];
  outcome->gradient_norm = first ? row[7] : std::max<double>(outcome->gradient_norm, row[7]);
  std::vector<float> losses(row + kFixedColumns, row + kFixedColumns + num_losses);
  for (float& loss : losses) loss /= static_cast<float>(workers);
  outcome->losses.push_back(std::move(losses));
}

}  // namespace

StatusOr<std::vector<StepOutcome>> MeetOverSteps(const std::vector<StepOutcome>& mine, Communicator& communicator,
                                                 Device& device) {
  std::vector<StepOutcome> all;
  if (mine.empty()) return all;
  const size_t workers = static_cast<size_t>(communicator.size()), rank = static_cast<size_t>(communicator.rank());
  const size_t num_losses = mine[0].loss_names.size(), columns = kFixedColumns + num_losses;
  std::vector<float> rows;
  for (const StepOutcome& outcome : mine) {
    CHECK_EQ(outcome.losses.size(), 1u);
    CHECK_EQ(outcome.losses[0].size(), num_losses);
    Append(outcome, &rows);
  }
  std::vector<float> of_all(rows.size() * workers, 0.0f);
  std::copy(rows.begin(), rows.end(), of_all.begin() + static_cast<int64_t>(rank * rows.size()));
  const Tensor gathered =
      Tensor::From(device, {static_cast<int64_t>(workers), static_cast<int64_t>(rows.size())}, of_all);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(gathered, device.compute_stream()));
  of_all = gathered.ToVector<float>();
  TRIREME_RETURN_IF_ERROR(communicator.status());
  for (size_t i = 0; i < mine.size(); ++i) {
    all.emplace_back();
    all.back().loss_names = mine[i].loss_names;
    for (size_t worker = 0; worker < workers; ++worker) {
      AddWorker(of_all.data() + worker * rows.size() + i * columns, num_losses, workers, &all.back());
    }
  }
  return all;
}

}  // namespace trireme
