// C++ functions with a known number of calls: overloads, templates, operators, constness, a constructor with two symbols.
#include <cstdlib>

#define CALLED __attribute__((noinline, noipa))

namespace geo {

struct Shape {
    int side;
    CALLED Shape(int side) : side(side) {}
    CALLED int area(int scale) const { return side * scale; }
    CALLED int area(int scale, const char *unit) { return side * scale + *unit; }
    CALLED int operator()(int n) { return side + n; }
};

template <class T> CALLED T twice(T value) { return value + value; }

} // namespace geo

namespace {
CALLED int inner(long n) { return (int)n; }
} // namespace

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1;
    int sum = 0;
    for (int i = 0; i < n; i++) {
        geo::Shape shape(i);
        sum += shape.area(2) + shape.area(3, "m") + shape.area(4, "n");
        sum += shape(1) + geo::twice(i) + (int)geo::twice(2.0) + inner(i);
    }
    return sum == 42;
}
