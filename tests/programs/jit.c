// Code made at run time, in the way of run-time compilers: main → made_by_jit → landing → marker. Its name is in
// /tmp/perf-PID.map. Sleeps so many milliseconds before it calls, and with a second argument leaves its map and ends at once.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int calls;

__attribute__((noinline)) void marker(void) {
    calls = calls + 1;
}

__attribute__((noinline)) void landing(void) {
    marker();
    calls = calls + 1;
}

int main(int count, char **words) {
    // push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    void *room = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char path[64];
    memcpy(room, code, sizeof code);
    mprotect(room, 4096, PROT_READ | PROT_EXEC);
    snprintf(path, sizeof path, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(path, "w");
    if (!map)
        return 1;
    fprintf(map, "%lx %zx made_by_jit\n", (unsigned long)room, sizeof code);
    fclose(map);
    usleep(count > 1 ? atoi(words[1]) * 1000 : 0);
    ((void (*)(void (*)(void)))room)(landing);
    if (count > 2)
        return calls != 2;
    // Whoever prints the stack finds the process alive.
    usleep(300000);
    unlink(path);
    return calls != 2;
}
