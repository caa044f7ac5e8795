/* SPDX-License-Identifier: BSD-2-Clause */
/* Paging: memory at its own addresses, and a zone whose pages come when they are touched. */

#include "kernel.h"

enum { LARGE = 0x80, PSE = 0x10 };
#define PAGING 0x80010000u      /* with write protection for the kernel too */

static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint32_t zone[1024] __attribute__((aligned(4096)));
static uint32_t next, limit;
uint32_t pages_supplied;

extern char kernel_end[];

uint32_t new_page(void)
{
    if (next + PAGE_SIZE > limit) {
        print("out of memory\n");
        power_off(1);
    }
    uint32_t page = next;
    next += PAGE_SIZE;
    return page;
}

uint32_t free_memory(void) { return next; }

void map(uint32_t address, uint32_t physical, uint32_t flags)
{
    zone[(address - ZONE) / PAGE_SIZE] = physical | flags;
    __asm__ volatile("invlpg (%0)" :: "r"(address) : "memory");
}

bool page_fault(uint32_t address, uint32_t error)
{
    /* Of a page that is there, or outside of the zone, it is somebody's error. So is one in the zone's
       upper half, which is for those who map there themselves. */
    if (error & PRESENT || address < ZONE || address >= ZONE + 512 * PAGE_SIZE)
        return false;
    map(address, new_page(), PRESENT | WRITABLE);
    pages_supplied++;
    return true;
}

void map_shared(void)
{
    directory[SHARED >> 22] = SHARED | LARGE | PRESENT | WRITABLE;
    write_cr3(read_cr3());
}

void paging_start(uint32_t memory)
{
    next = (uint32_t)kernel_end;
    limit = memory;
    for (uint32_t i = 0; i < 1024; i++)
        directory[i] = (uint64_t)i << 22 < memory ? i << 22 | LARGE | PRESENT | WRITABLE : 0;
    directory[ZONE >> 22] = (uint32_t)zone | PRESENT | WRITABLE;
    write_cr4(read_cr4() | PSE);
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | PAGING);
}
