// The pieces of the arena that an optimizer updates, each with its arrays of state.
#ifndef TRIREME_CORE_TRAIN_OPTIMIZERS_PIECES_H_
#define TRIREME_CORE_TRAIN_OPTIMIZERS_PIECES_H_

#include <string>
#include <vector>

#include "core/api/optimizer.h"

namespace trireme {

class OptimizerPieces {
 public:
  struct Piece {
    ArenaPiece at;
    std::vector<Tensor> state;  // one for each name
  };

  OptimizerPieces() = default;
  // Allocates the state, zero. CHECKs that the pieces lie in the arena and do not overlap.
  OptimizerPieces(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces, std::vector<std::string> names);

  // The one that arena elements [begin, end) lie in; CHECKs that there is one.
  const Piece& Find(int64_t begin, int64_t end) const;

  std::vector<OptimizerState> State() const;

 private:
  std::vector<std::string> names_;
  std::vector<Piece> pieces_;  // in arena order
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_OPTIMIZERS_PIECES_H_
