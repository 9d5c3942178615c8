// A library that is loaded at run time and calls back, with a frame whose size is known only then.
int through(int (*function)(int), int n) {
    volatile char room[n + 16];
    room[n] = 1;
    return function(n) + room[n];
}
