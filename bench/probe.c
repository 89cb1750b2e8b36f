/* The container of the task benchmarks. Its first act is to write the time, in nanoseconds since
 * 1970, to its log; then it sleeps until it is told to end. */

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void end(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    /* As the first process of its namespace it gets only the signals that it asked for. */
    signal(SIGTERM, end);
    printf("%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    fflush(stdout);
    for (;;)
        pause();
}
