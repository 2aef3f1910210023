#pragma once

#include "absl/container/flat_hash_set.h"

namespace herald {

// Pointers to objects that know their own key, found by that key: a table that holds no key twice.
//
// `KeyOf`: static functions Of(key) and Of(pointer), which return the key. It must not change while
// the object is in the set.
template <typename Pointer, typename KeyOf, typename Hash>
struct KeyedSetOf {
  struct HashOf {
    using is_transparent = void;
    template <typename T>
    std::size_t operator()(const T& one) const {
      return Hash{}(KeyOf::Of(one));
    }
  };
  struct EqualTo {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return KeyOf::Of(a) == KeyOf::Of(b);
    }
  };
  using type = absl::flat_hash_set<Pointer, HashOf, EqualTo>;
};
template <typename Pointer, typename KeyOf, typename Hash>
using KeyedSet = typename KeyedSetOf<Pointer, KeyOf, Hash>::type;

}  // namespace herald
