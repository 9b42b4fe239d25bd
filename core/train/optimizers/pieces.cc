#include "core/train/optimizers/pieces.h"

#include <algorithm>

namespace trireme {

OptimizerPieces::OptimizerPieces(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces,
                                 std::vector<std::string> names)
    : names_(std::move(names)) {
  for (const ArenaPiece& piece : pieces) pieces_.push_back({piece, {}});
  std::sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) { return a.at.begin < b.at.begin; });
  int64_t end = 0, total = 0;
  for (const Piece& piece : pieces_) {
    CHECK_GE(piece.at.begin, end) << "two pieces hold the same arena elements";
    CHECK_EQ(piece.at.values.size(), piece.at.gradients.size());
    end = piece.at.end();
    total += piece.at.values.size();
  }
  CHECK_LE(end, arena.size());
  // One allocation, which is rounded up once.
  const int64_t arrays = static_cast<int64_t>(names_.size());
  if (arrays == 0) return;
  const Tensor all = Tensor::Zeros(arena.device(), {arrays * total}, DataType::kFloat32, MemoryKind::kOptimizer);
  int64_t at = 0;
  for (int64_t i = 0; i < arrays; ++i) {
    for (Piece& piece : pieces_) {
      piece.state.push_back(all.Flat(at, at + piece.at.values.size()));
      at += piece.at.values.size();
    }
  }
}

const OptimizerPieces::Piece& OptimizerPieces::Find(int64_t begin, int64_t end) const {
  const auto found =
      std::partition_point(pieces_.begin(), pieces_.end(), [&](const Piece& piece) { return piece.at.end() <= begin; });
  CHECK(found != pieces_.end() && found->at.begin <= begin && end <= found->at.end())
      << "arena elements " << begin << " to " << end << " are in no piece that this worker updates";
  return *found;
}

std::vector<OptimizerState> OptimizerPieces::State() const {
  std::vector<OptimizerState> state;
  for (size_t i = 0; i < names_.size(); ++i) {
    for (const Piece& piece : pieces_) state.push_back({names_[i], piece.at.begin, piece.state[i]});
  }
  return state;
}

}  // namespace trireme
