// How many ranks a strategy wants beside the workers, behind them in the job, to do nothing but serve.
//
// A strategy that may want any registers a component "server_ranks/NAME" beside its "strategy/NAME", with the same
// configuration message. Workers are then ranks 0 to n-1 and share data, losses and evaluation among themselves; the
// ranks behind them build the model, for the layout of its arena, and call Strategy::Serve. All of them are the
// strategy's communicator.
#ifndef TRIREME_CORE_API_SERVER_RANKS_H_
#define TRIREME_CORE_API_SERVER_RANKS_H_

namespace trireme {

class ServerRanks {
 public:
  static constexpr const char kKind[] = "server_ranks";
  struct BuildArgs {
    int workers = 1;
  };

  virtual ~ServerRanks() = default;
  virtual int count() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_SERVER_RANKS_H_
