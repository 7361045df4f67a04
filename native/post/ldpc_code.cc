#include "post/ldpc_code.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "post/error.h"

namespace qkme::post {
namespace {

constexpr uint32_t kWordsPerBlock = kLdpcCirculant / 64;

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the same numbers on every machine.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>((Next() >> 32) * bound >> 32); }

 private:
  uint64_t state_;
};

/// The graph while it grows.
class Builder {
 public:
  Builder(const LdpcDesign& design, uint64_t seed) : rows_(design.rows), numbers_(seed), row_edges_(design.rows) {
    for (const LdpcDegree& group : design.degrees) degrees_.insert(degrees_.end(), group.columns, group.degree);
    column_edges_.resize(degrees_.size());
    reached_.resize(size_t{rows_} * kLdpcCirculant / 64);
    spread_all_ = Spread(UINT32_MAX);
    spread_low_ = Spread(3);
  }

  void Build() {
    for (uint16_t column = 0; column < degrees_.size(); ++column) {
      for (uint32_t k = 0; k < degrees_[column]; ++k) {
        const uint16_t row = degrees_[column] == 2 ? static_cast<uint16_t>((column + k) % rows_) : ChooseRow(column);
        Add(column, row, ChooseShift(column, row));
      }
    }
  }

  struct RowEdge { uint16_t column, shift; };
  const std::vector<std::vector<RowEdge>>& row_edges() const { return row_edges_; }

 private:
  struct ColumnEdge { uint16_t row, shift; };
  struct Node { uint16_t block, from; uint32_t position; };

  void Add(uint16_t column, uint16_t row, uint16_t shift) {
    column_edges_[column].push_back({row, shift});
    row_edges_[row].push_back({column, shift});
  }

  // Of the lightest rows that the column does not have, one that shares few columns with those it has.
  uint16_t ChooseRow(uint16_t column) {
    std::vector<uint32_t> shared(rows_, 0);
    for (const ColumnEdge& own : column_edges_[column]) {
      shared[own.row] = UINT32_MAX;
      for (const RowEdge& other : row_edges_[own.row]) {
        for (const ColumnEdge& far : column_edges_[other.column]) {
          if (shared[far.row] != UINT32_MAX) shared[far.row] += degrees_[other.column] <= 3 ? 4 : 1;
        }
      }
    }
    uint32_t chosen = 0;
    uint64_t best = UINT64_MAX;
    for (uint32_t row = 0; row < rows_; ++row) {
      if (shared[row] == UINT32_MAX) continue;
      const uint64_t cost = uint64_t{row_edges_[row].size()} << 48 | uint64_t{shared[row]} << 24 | numbers_.Below(1u << 24);
      if (cost < best) { best = cost; chosen = row; }
    }
    return static_cast<uint16_t>(chosen);
  }

  // Marks all checks within `edges` steps of position 0 of `column`, going through columns of at most `degree_max`.
  void Mark(uint16_t column, uint32_t edges, uint32_t degree_max) {
    std::vector<Node> front = {{column, UINT16_MAX, 0}};
    std::vector<Node> next;
    for (uint32_t step = 1; step <= edges && !front.empty(); step += 2) {
      next.clear();
      for (const Node& node : front) {
        for (const ColumnEdge& up : column_edges_[node.block]) {
          if (up.row == node.from) continue;
          const uint32_t check = (node.position - up.shift) % kLdpcCirculant;
          uint64_t& word = reached_[(size_t{up.row} * kLdpcCirculant + check) / 64];
          if (word >> check % 64 & 1) continue;
          word |= uint64_t{1} << check % 64;
          if (step + 2 > edges) continue;
          for (const RowEdge& down : row_edges_[up.row]) {
            if (down.column == node.block || degrees_[down.column] > degree_max) continue;
            next.push_back({down.column, up.row, (check + down.shift) % kLdpcCirculant});
          }
        }
      }
      front.swap(next);
    }
  }

  // How many checks two steps further meet one check on average, through columns of at most `degree_max`.
  double Spread(uint32_t degree_max) const {
    double edges = 0, pairs = 0;
    for (const uint32_t degree : degrees_) {
      if (degree > degree_max) continue;
      edges += degree;
      pairs += degree * (degree - 1.0);
    }
    return edges == 0 ? 0 : pairs / rows_;
  }

  // Whether less than a third of all checks lie within `edges` steps: beyond, there is no choice left.
  bool Possible(uint32_t degree, uint32_t edges, double spread) const {
    double reach = degree;
    for (uint32_t step = 1; step < edges; step += 2) reach *= spread;
    return reach * 3 < static_cast<double>(rows_) * kLdpcCirculant;
  }

  // A check that is `steps` away closes a cycle of steps + 1 edges.
  uint16_t ChooseShift(uint16_t column, uint16_t row) {
    if (column_edges_[column].empty()) return static_cast<uint16_t>(numbers_.Below(kLdpcCirculant));
    struct Wish { uint32_t edges_low, edges_all; };
    const uint32_t degree = degrees_[column];
    for (const Wish wish : {Wish{9, 5}, Wish{7, 5}, Wish{5, 5}, Wish{7, 3}, Wish{5, 3}, Wish{3, 3}}) {
      const bool low = degree <= 3 && wish.edges_low > wish.edges_all;
      if (wish.edges_low > wish.edges_all && !low) continue;
      if (wish.edges_all > 3 && !Possible(degree, wish.edges_all, spread_all_)) continue;
      if (low && !Possible(degree, wish.edges_low, spread_low_)) continue;
      std::fill(reached_.begin(), reached_.end(), 0);
      if (low) Mark(column, wish.edges_low, 3);
      // A second pass must walk through checks that the first has marked.
      std::vector<uint64_t> low_reached;
      low_reached.swap(reached_);
      reached_.assign(low_reached.size(), 0);
      Mark(column, wish.edges_all, UINT32_MAX);
      for (size_t i = 0; i < reached_.size(); ++i) reached_[i] |= low_reached[i];
      for (int attempt = 0; attempt < 64; ++attempt) {
        const uint32_t shift = numbers_.Below(kLdpcCirculant);
        const uint32_t check = (0u - shift) % kLdpcCirculant;
        if ((reached_[(size_t{row} * kLdpcCirculant + check) / 64] >> check % 64 & 1) == 0) return static_cast<uint16_t>(shift);
      }
    }
    return static_cast<uint16_t>(numbers_.Below(kLdpcCirculant));
  }

  uint32_t rows_;
  Numbers numbers_;
  std::vector<uint32_t> degrees_;
  std::vector<std::vector<ColumnEdge>> column_edges_;
  std::vector<std::vector<RowEdge>> row_edges_;
  std::vector<uint64_t> reached_;
  double spread_all_ = 0, spread_low_ = 0;
};

void Check(const LdpcDesign& design) {
  uint32_t columns = 0;
  uint32_t edges = 0;
  for (const LdpcDegree& group : design.degrees) {
    columns += group.columns;
    edges += group.columns * group.degree;
    Require(group.degree >= 2 && group.degree <= design.rows, "a column's degree is at least 2 and at most the rows");
    Require(group.degree > 2 || group.columns < design.rows, "columns of degree 2 are fewer than the rows, or they hold a cycle");
  }
  Require(columns == kLdpcColumns, "the columns of a design add up");
  Require(design.rows >= 2 && edges <= design.rows * (kLdpcRowWeightMax - 1), "the rows of a design are within their weight");
}

}  // namespace

LdpcCode::LdpcCode(const LdpcDesign& design, uint64_t seed) : design_(design) {
  Check(design);
  Builder builder(design, seed);
  builder.Build();
  starts_.push_back(0);
  std::vector<std::vector<uint16_t>> rows_of(kLdpcColumns);
  for (uint32_t row = 0; row < design.rows; ++row) {
    for (const auto& edge : builder.row_edges()[row]) {
      edges_.push_back({edge.column, edge.shift});
      rows_of[edge.column].push_back(static_cast<uint16_t>(row));
    }
    Require(builder.row_edges()[row].size() <= kLdpcRowWeightMax, "a row is within its weight");
    starts_.push_back(edges_.size());
  }
  std::vector<bool> taken(design.rows, false);
  for (uint32_t pass = 0; pass < 2; ++pass) {
    for (uint16_t column = 0; column < kLdpcColumns; ++column) {
      const auto& own = rows_of[column];
      const bool wanted = pass == 0 ? own.size() == 3 : own.size() == 4;
      if (!wanted || std::any_of(own.begin(), own.end(), [&](uint16_t row) { return taken[row]; })) continue;
      for (const uint16_t row : own) taken[row] = true;
      pliable_.push_back(column);
    }
  }
}

void LdpcCode::Syndrome(const uint64_t* frame, uint64_t* syndrome) const {
  std::memset(syndrome, 0, syndrome_bits() / 8);
  for (uint32_t row = 0; row < rows(); ++row) {
    uint64_t* const out = syndrome + size_t{row} * kWordsPerBlock;
    for (const LdpcEdge& edge : Row(row)) {
      const uint64_t* const in = frame + size_t{edge.column} * kWordsPerBlock;
      const uint32_t word = edge.shift / 64;
      const uint32_t bit = edge.shift % 64;
      for (uint32_t i = 0; i < kWordsPerBlock; ++i) {
        const uint64_t low = in[(i + word) % kWordsPerBlock];
        const uint64_t high = in[(i + word + 1) % kWordsPerBlock];
        out[i] ^= bit == 0 ? low : low >> bit | high << (64 - bit);
      }
    }
  }
}

}  // namespace qkme::post
