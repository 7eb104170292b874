/*
 * A clock that a test can set: preloaded into a server's processes, it adds to the real time the microseconds that stand
 * in the file $TEST_CLOCK. Only what tells the time of day is changed; the monotonic clock goes on, as when a person or
 * NTP sets a machine's clock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead_micros;

__attribute__((constructor)) static void
open_file(void)
{
	const char *path = getenv("TEST_CLOCK");
	int file = path == NULL ? -1 : open(path, O_RDONLY);
	void *place = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);

	if (place != MAP_FAILED)
		ahead_micros = place;
}

int
clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = (int) syscall(SYS_clock_gettime, clock, time);

	if (result == 0 && ahead_micros != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		time->tv_sec += *ahead_micros / 1000000;
	return result;
}

int
gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;
	int result = clock_gettime(CLOCK_REALTIME, &now);

	(void) zone;
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return result;
}

time_t
time(time_t *place)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (place != NULL)
		*place = now.tv_sec;
	return now.tv_sec;
}
