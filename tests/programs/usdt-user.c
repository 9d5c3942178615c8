/* Waits for the end of its input, then calls the library so often, and fires a marker of its own each time. */
#include "usdt.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

long library_steps(long number);
int library_guarded(long number);

int main(int argc, char **argv)
{
    int guarded = 0;
    long count = argc > 1 ? atol(argv[1]) : 1;
    while (argc > 2 && getchar() != EOF)
        ;
    for (long i = 0; i < count; i++) {
        long result = library_steps(i);
        guarded += library_guarded(i);
        MARK3(user, call, 0, i, result, (signed char)-1);
    }
    printf("guarded %d\n", guarded);
    return 0;
}
