// A header of the cases include-directory and include-option.
#define SIDES 4
struct shape { int sides; long area; };
